package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// policies draws policies among few addresses, so that they overlap, also at both ends of a family's
// addresses.
type policies struct{ rng *rand.Rand }

func (p *policies) address() netip.Addr {
	switch i := byte(p.rng.IntN(64)); p.rng.IntN(4) {
	case 0:
		return netip.AddrFrom4([4]byte{10, 0, 0, i})
	case 1:
		return netip.AddrFrom4([4]byte{255, 255, 255, 192 + i})
	case 2:
		return netip.AddrFrom16([16]byte{0xfd, 15: i})
	default:
		a := [16]byte{15: 192 + i}
		for j := range 15 {
			a[j] = 0xff
		}
		return netip.AddrFrom16(a)
	}
}

func (p *policies) prefixes(n int) []netip.Prefix {
	var out []netip.Prefix
	for range n {
		a := p.address()
		x, _ := a.Prefix(a.BitLen() - p.rng.IntN(7))
		out = append(out, x)
	}
	return out
}

// change makes a random change in a set.
func (p *policies) change(s *protect.Set, locals [][]netip.Prefix) protect.Change {
	if p.rng.IntN(5) == 0 {
		return s.Exempt(p.prefixes(p.rng.IntN(3)), nil)
	}
	var set []protect.Policy
	var gone []protect.ID
	for range p.rng.IntN(4) {
		set = append(set, policy(fmt.Sprint(p.rng.IntN(9)), locals[p.rng.IntN(len(locals))], p.prefixes(1+p.rng.IntN(6))))
	}
	for range p.rng.IntN(3) {
		gone = append(gone, protect.ID{Peer: "peer", Child: fmt.Sprint(p.rng.IntN(9))})
	}
	return s.Change(set, gone)
}

// protects reports whether any group of a set protects a flow.
func protects(s *protect.Set, src, dst netip.Addr) bool {
	return slices.ContainsFunc(s.Groups(), func(g *protect.Group) bool {
		return slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(src) }) && g.Protects(dst)
	})
}

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

// contents returns the intervals in the sets of a group, joined where they were cut.
func contents(t *testing.T, h *netlab.Host, g *Guard, id int) (out []protect.Range) {
	t.Helper()
	err := h.Do(func() error {
		s, err := openSocket()
		if err != nil {
			return err
		}
		defer s.close()
		for _, name := range g.image.groups[id].setNames(id) {
			list, err := s.elements(g.tableNow(), name)
			if err != nil {
				return err
			}
			out = append(out, list...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return join(out)
}

// join merges adjacent intervals.
func join(list []protect.Range) (out []protect.Range) {
	for _, r := range list {
		if n := len(out); n > 0 && out[n-1].Last.Next() == r.First {
			out[n-1].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

// After changes the table holds exactly the elements of a newly installed one.
func TestChangesAddUpToTheWhole(t *testing.T) {
	h := newHost(t)
	for seed := range uint64(8) {
		p := &policies{rand.New(rand.NewPCG(seed, 4))}
		locals := [][]netip.Prefix{p.prefixes(2), p.prefixes(1), p.prefixes(3)}
		set := protect.NewSet()
		g := openIn(t, h, fewIn(1+int(seed)%4), set.Whole())
		table := g.tableNow()
		for range 25 {
			if err := g.Apply(p.change(set, locals)); err != nil {
				t.Fatal(err)
			}
			if g.tableNow() != table {
				t.Fatalf("seed %d: a change was refused, and the table put up afresh", seed)
			}
			for _, group := range set.Groups() {
				if got := contents(t, h, g, group.ID); !slices.Equal(got, join(group.Protected)) {
					t.Fatalf("seed %d: the kernel has %v, want %v", seed, got, group.Protected)
				}
			}
		}
		list := func() string {
			out := nft(t, h, "-s", "list", "ruleset")
			return fmt.Sprint(strings.Count(out, "chain "), " chains, ", strings.Count(out, "jump "+inbound), " rules before the look-up")
		}
		changed := list()
		g.Close()
		openIn(t, h, testConfig(), set.Whole()).Close()
		if afresh := list(); afresh != changed {
			t.Errorf("seed %d: %s, afresh %s", seed, changed, afresh)
		}
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

// A change of the table by another program is undone within a second, and logged.
func TestPutBack(t *testing.T) {
	h := newHost(t)
	var out bytes.Buffer
	log := &locked{w: &out}
	cfg := testConfig()
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	set := protect.NewSet()
	g := openIn(t, h, cfg, set.Change([]protect.Policy{policy("a", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64"))}, nil))
	list := func() string { return strings.ReplaceAll(nft(t, h, "list", "ruleset"), second, "") }
	want := list()
	for i, change := range []string{
		"flush ruleset",
		"delete table inet TABLE",
		"flush table inet TABLE",
		"delete element inet TABLE group1-1 { 10.2.0.0/24 }",
		"delete element inet TABLE out6 { fd01::/64 }",
		"flush chain inet TABLE drop-in",
		"insert rule inet TABLE outbound accept",
		"add table inet TABLE { flags dormant; }",
	} {
		change = strings.ReplaceAll(change, "TABLE", g.tableNow())
		nft(t, h, change)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		start := time.Now()
		err := netlab.Until(ctx, change, func() bool { return g.Stats().Repairs == uint64(i+1) })
		cancel()
		if err != nil {
			t.Fatalf("%s: %v, %+v", change, err, g.Stats())
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: put back after %s", change, took)
		}
		if got := list(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", change, got, want)
		}
	}
	nft(t, h, "add table inet other; add chain inet other c; delete table inet other")
	if err := g.Apply(set.Change([]protect.Policy{policy("b", pfx("10.9.0.0/24"), pfx("10.8.0.0/24"))}, nil)); err != nil {
		t.Fatal(err)
	}
	g.inspect()
	g.inspect()
	if n := g.Stats().Repairs; n != 8 {
		t.Errorf("%d repairs, want 8: others' tables and our own changes are no reason", n)
	}
	if text := log.String(); strings.Count(text, "guard-repaired") != 1 || !strings.Contains(text, "by=nft") {
		t.Errorf("the log is %q", text)
	}
}

// The check of every minute finds a change without a notice.
func TestInspect(t *testing.T) {
	h := newHost(t)
	g := openIn(t, h, testConfig(), both())
	g.inspect()
	g.watch.close()
	g.watch = &watcher{guard: g, file: os.NewFile(^uintptr(0), ""), changed: make(chan string, 1), done: make(chan struct{})}
	list := func() string { return strings.ReplaceAll(nft(t, h, "list", "ruleset"), second, "") }
	want := list()
	for i, change := range []string{"flush ruleset", "flush chain inet TABLE drop-out", "add table inet TABLE { flags dormant; }"} {
		nft(t, h, strings.ReplaceAll(change, "TABLE", g.tableNow()))
		g.inspect()
		if got := list(); got != want || g.Stats().Repairs != uint64(i+1) {
			t.Errorf("%s: %d repairs, the tables are\n%s", change, g.Stats().Repairs, got)
		}
		g.inspect() // notes the layout
	}
}

func TestStandsUntilReleased(t *testing.T) {
	h := newHost(t)
	g := openIn(t, h, testConfig(), both())
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(both()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	other := testConfig()
	other.Device = "cv1"
	openIn(t, h, other, both())
	standing := func(device string) (ok bool) {
		if err := h.Do(func() (err error) { _, ok, err = Standing(device); return err }); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !standing("cv0") || !standing("cv1") || standing("cv2") {
		t.Error("the guards are not those that were put up")
	}
	var o Opened
	if err := h.Do(func() (err error) { o, err = Release("cv0"); return err }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Local, pfx("10.1.0.0/24", "fd01::/64")) || !slices.Equal(o.Remote, pfx("10.2.0.0/24", "fd02::/64")) {
		t.Errorf("released %+v", o)
	}
	if standing("cv0") || !standing("cv1") {
		t.Error("the wrong guard is gone")
	}
	if err := h.Do(func() (err error) { o, err = Release("cv0"); return err }); err != nil || len(o.Local) > 0 {
		t.Errorf("nothing to release: %+v, %v", o, err)
	}
}

// Probing leaves nothing behind, and an installed guard unchanged.
func TestProbe(t *testing.T) {
	h := newHost(t)
	probe := func() error { return Probe(testConfig()) }
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

func TestWithoutRights(t *testing.T) {
	h := newHost(t)
	err := h.Do(func() error { // on its own thread, which ends with it
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
		if err := Probe(testConfig()); !errors.Is(err, os.ErrPermission) {
			t.Errorf("probing: %v", err)
		}
		_, err := Open(testConfig(), both())
		return err
	})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}
