package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// After random changes the kernel treats random flows as the set does.
func TestVerdictsAreTheSets(t *testing.T) {
	s := newSite(t)
	id := uint32(100)
	for seed := range uint64(6) {
		p := &policies{rand.New(rand.NewPCG(seed, 3))}
		locals := [][]netip.Prefix{p.prefixes(2), p.prefixes(1), p.prefixes(3), p.prefixes(4)}
		set := protect.NewSet()
		g := openIn(t, s.gw, fewIn(1+int(seed)%3), set.Change([]protect.Policy{policy("0", locals[0], p.prefixes(5))}, nil))
		for range 8 {
			if err := g.Apply(p.change(set, locals)); err != nil {
				t.Fatal(err)
			}
			var packets [][]byte
			first, refused, before := id, uint64(0), g.Stats()
			want := make(map[uint32]string)
			for range 150 {
				src, dst := p.address(), p.address()
				if src.Is4() != dst.Is4() || dst.IsMulticast() || !dst.IsGlobalUnicast() || src.IsMulticast() || src == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
					continue
				}
				packets = append(packets, ip(src, dst, unix.IPPROTO_UDP, 64, udpHeader(1, 7, payload(id))))
				if protects(set, src, dst) {
					refused++
					want[id] = fmt.Sprintf("%s -> %s", src, dst)
				}
				id++
			}
			send(t, s.gw, append(packets, udp("192.0.2.1", "192.0.2.2", 1, 7, id))...)
			s.seen.await(t, id)
			if got := g.Stats().Out - before.Out; got != refused {
				t.Errorf("seed %d: %d packets were refused, want %d", seed, got, refused)
			}
			for n := first; n < id; n++ {
				if flow := want[n]; flow != "" && s.seen.has(n) {
					t.Errorf("seed %d: %s left in plain", seed, flow)
				}
			}
			id++
		}
		g.Close()
	}
}

func TestManyNetworks(t *testing.T) {
	h := newHost(t)
	set := protect.NewSet()
	var list []protect.Policy
	const n = 5_000
	for i := range n {
		list = append(list, policy(fmt.Sprint(i), pfx("10.1.0.0/24"), []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32)}))
	}
	g := openIn(t, h, testConfig(), set.Change(list, nil))
	if got := contents(t, h, g, 1); len(got) != n || !slices.Equal(got, set.Groups()[0].Protected) {
		t.Fatalf("the kernel has %d intervals, want %d", len(got), n)
	}
	if err := g.Apply(set.Change(nil, []protect.ID{list[7].ID})); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, h, g, 1); !slices.Equal(got, set.Groups()[0].Protected) {
		t.Fatalf("the kernel has %d intervals, want %d", len(got), n-1)
	}
}

// A restart leaves no gap, and the counters continue.
func TestRestartLeavesNoGap(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan uint64)
	go func() {
		n := uint64(0)
		for ctx.Err() == nil {
			send(t, s.gw, udp("10.1.0.1", "10.2.0.1", 1, 7, 1), udp("fd01::1", "fd02::1", 1, 7, 1))
			n += 2
		}
		sent <- n
	}()
	for range 20 {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		g = openIn(t, s.gw, testConfig(), both())
	}
	cancel()
	n := <-sent
	send(t, s.gw, udp("192.0.2.1", "192.0.2.2", 1, 7, 9))
	s.seen.await(t, 9)
	if s.seen.has(1) {
		t.Error("a packet left in plain")
	}
	// Drops between the reading of the counters and the new table are not counted.
	if st := g.Stats(); st.Out == 0 || st.Out > n {
		t.Errorf("%d packets were sent, %d counted", n, st.Out)
	}
}

// Probing leaves nothing behind, and an installed guard unchanged.
func TestProbe(t *testing.T) {
	h := newHost(t)
	probe := func() error { cfg, err := Probe(testConfig()); cfg.Close(); return err }
	if err := h.Do(probe); err != nil {
		t.Fatal(err)
	}
	if out := nft(t, h, "list", "ruleset"); out != "" {
		t.Errorf("probing has left\n%s", out)
	}
	g := openIn(t, h, testConfig(), both())
	before := nft(t, h, "list", "ruleset")
	if err := h.Do(probe); err != nil {
		t.Fatal(err)
	}
	if out := nft(t, h, "list", "ruleset"); out != before || g.Stats().Repairs != 0 {
		t.Errorf("after probing there is\n%s\nwith %d repairs", out, g.Stats().Repairs)
	}
}

// What Probe found out is not asked again, nor its socket closed in between, for which the kernel
// would finish the clean-up of the transaction first: the guard stands after two transactions. A
// second guard by the same configuration needs a socket of its own.
func TestOpenAfterProbe(t *testing.T) {
	h := newHost(t)
	var notices *socket
	cfg := testConfig()
	if err := h.Do(func() (err error) {
		if notices, err = openSocket(); err == nil {
			err = notices.subscribe(0)
		}
		if err == nil {
			cfg, err = Probe(cfg)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer notices.close()
	kept := cfg.trial.socket.Load()
	g := openIn(t, h, cfg, both())
	if g.socket != kept || g.cfg.sockets != cfg.sockets || g.cfg.byPolicy != cfg.byPolicy || cfg.trial.socket.Load() != nil {
		t.Errorf("the guard has another socket, or %+v instead of %+v", g.cfg, cfg)
	}
	transactions := 0
	for {
		messages, err := notices.receive()
		if err != nil {
			break
		}
		for _, m := range messages {
			if m.Header.Type == subsystem|unix.NFT_MSG_NEWGEN {
				transactions++
			}
		}
	}
	if transactions != 2 {
		t.Errorf("%d transactions, want 2", transactions)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	again := openIn(t, h, cfg, both())
	if again.socket == nil || again.socket == kept || again.cfg.sockets != cfg.sockets {
		t.Errorf("a second guard has the socket of the first, or %+v", again.cfg)
	}
	cfg.Close()
	Config{}.Close()
	if err := again.Apply(protect.Change{}); err != nil {
		t.Errorf("closing what Probe left has closed a guard: %v", err)
	}
}

// What Probe left is closed without a guard as well.
func TestProbeForNothing(t *testing.T) {
	h := newHost(t)
	var cfg Config
	if err := h.Do(func() (err error) { cfg, err = Probe(testConfig()); return err }); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", cfg.trial.socket.Load().fd)
	before, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Close()
	cfg.Close()
	if after, err := os.Readlink(path); err == nil && after == before || cfg.trial.socket.Load() != nil {
		t.Errorf("%s is open", after)
	}
}

func TestWithoutRights(t *testing.T) {
	h := newHost(t)
	err := h.Do(func() error { // on its own thread, which ends with it
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
		if _, err := Probe(testConfig()); !errors.Is(err, os.ErrPermission) {
			t.Errorf("probing: %v", err)
		}
		_, err := Open(testConfig(), both())
		return err
	})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}
