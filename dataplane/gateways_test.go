package dataplane

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// TestMain fails if a test left a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(patience); code == 0; runtime.Gosched() {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "dataplane.(*") {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "goroutines are left:\n"+stacks)
			code = 1
		}
	}
	os.Exit(code)
}

// gateway is a plane on queues and ports in memory.
type gateway struct {
	*Plane
	queues []*fakeQueue
	ports  []*fakePort
	stop   func() error // ends Run and gives its error
	clock  atomic.Int64 // what Now says; 0: the real time
}

// newGateway makes a plane. change may alter its configuration.
func newGateway(t testing.TB, workers int, change func(*Config)) *gateway {
	t.Helper()
	g := &gateway{}
	cfg := Config{Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		if n := g.clock.Load(); n != 0 {
			return time.Unix(0, n)
		}
		return time.Now()
	}}
	for range workers {
		q, p := newFakeQueue(t), newFakePort(t)
		g.queues, g.ports = append(g.queues, q), append(g.ports, p)
		cfg.Queues, cfg.Ports = append(cfg.Queues, q), append(cfg.Ports, p)
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.Plane = p
	return g
}

// start runs the plane until the test ends or stop is called.
func (g *gateway) start(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	g.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = g.stop() })
}

// connect joins the gateways' ports.
func connect(a, b *gateway) {
	for i := range a.ports {
		a.ports[i].peer, b.ports[i].peer = b.ports[i], a.ports[i]
	}
}

// twoGateways are running, joined, and have the policy lan: 10.1/16 and 2001:db8:1::/48 at a,
// 10.2/16 and 2001:db8:2::/48 at b.
func twoGateways(t testing.TB, workers int, change func(*Config)) (a, b *gateway) {
	t.Helper()
	a, b = newGateway(t, workers, change), newGateway(t, workers, change)
	connect(a, b)
	for _, g := range []*gateway{a, b} {
		local, remote := lanA(), lanB()
		if g == b {
			local, remote = remote, local
		}
		if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: local, Remote: remote}}); err != nil {
			t.Fatal(err)
		}
		g.start(t)
	}
	return a, b
}

var (
	lan = ipsec.PolicyID(1)
	gcm = esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}
	// gcmFormat is what the packets of gcm look like.
	gcmFormat = gcm.Format()
	nets      = func(s ...string) (list []selector.Selector) {
		for _, p := range s {
			list = append(list, selector.FromPrefix(netip.MustParsePrefix(p)))
		}
		return list
	}
	lanA = func() []selector.Selector { return nets("10.1.0.0/16", "2001:db8:1::/48") }
	lanB = func() []selector.Selector { return nets("10.2.0.0/16", "2001:db8:2::/48") }
)

func key(seed byte) []byte { return bytes.Repeat([]byte{seed}, 20) }

// childSA is a's half of an SA pair with generation id; mirror makes b's.
func childSA(t testing.TB, a, b *gateway, id ipsec.ChildID) ipsec.ChildSA {
	t.Helper()
	in, err := a.AllocSPI(uint32(id))
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.AllocSPI(uint32(id))
	if err != nil {
		t.Fatal(err)
	}
	return ipsec.ChildSA{
		ID: id, Policy: lan, Name: ipsec.PolicyName{Peer: "peer", Child: "lan"}, SPIIn: in, SPIOut: out, KeyIn: key(byte(2 * id)), KeyOut: key(byte(2*id + 1)), Cipher: gcm, ESN: true, ReplayWindow: 4096,
		Path: ipsec.NATPath(outerA, outerB), LocalTS: lanA(), RemoteTS: lanB(),
	}
}

func mirror(sa ipsec.ChildSA) ipsec.ChildSA {
	sa.SPIIn, sa.SPIOut = sa.SPIOut, sa.SPIIn
	sa.KeyIn, sa.KeyOut = sa.KeyOut, sa.KeyIn
	sa.LocalTS, sa.RemoteTS = sa.RemoteTS, sa.LocalTS
	sa.Path = back(sa.Path)
	return sa
}

// back returns a path as the other side sees it.
func back(p ipsec.Path) ipsec.Path { return ipsec.NewPath(p.Via(), p.Remote(), p.Local(), p.Conn()) }

// install brings an SA pair up at both.
func install(t testing.TB, a, b *gateway, sa ipsec.ChildSA) {
	t.Helper()
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if err := b.InstallInbound(mirror(sa)); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(sa.ID)
	b.ActivateOutbound(sa.ID)
}

// tunnel is two running gateways with SA pair 1 up.
func tunnel(t testing.TB, workers int) (a, b *gateway, sa ipsec.ChildSA) {
	t.Helper()
	a, b = twoGateways(t, workers, nil)
	sa = childSA(t, a, b, 1)
	install(t, a, b, sa)
	return a, b, sa
}

// selectedTunnel is two running gateways, each with one policy and SA pair 1 up, for other
// selectors than those of lan: local and remote are a's.
func selectedTunnel(t testing.TB, workers int, change func(*Config), local, remote []selector.Selector) (a, b *gateway) {
	t.Helper()
	a, b = twoGateways(t, workers, change)
	sa := childSA(t, a, b, 1)
	sa.LocalTS, sa.RemoteTS = local, remote
	for g, half := range map[*gateway]ipsec.ChildSA{a: sa, b: mirror(sa)} {
		if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: half.LocalTS, Remote: half.RemoteTS}}); err != nil {
			t.Fatal(err)
		}
	}
	install(t, a, b, sa)
	return a, b
}

// limited is the selectors of one side, limited to a protocol and a port (0: any).
func limited(list []selector.Selector, protocol uint8, port uint16) []selector.Selector {
	for i := range list {
		list[i].Protocol = protocol
		if port != 0 {
			list[i].StartPort, list[i].EndPort = port, port
		}
	}
	return list
}

// udp5001 is a tunnel that is limited to UDP to port 5001 at b.
func udp5001(t testing.TB, workers int) (a, b *gateway) {
	t.Helper()
	return selectedTunnel(t, workers, nil, limited(lanA(), 17, 0), limited(lanB(), 17, 5001))
}

// everything is the selectors of all addresses.
func everything() []selector.Selector {
	return []selector.Selector{selector.All(false), selector.All(true)}
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// wantCounter waits until a counter has a value.
func (g *gateway) wantCounter(t testing.TB, name string, want uint64) {
	t.Helper()
	if _, ok := g.Counters()[name]; !ok {
		t.Fatalf("there is no counter %q", name)
	}
	eventually(t, fmt.Sprintf("%s = %d", name, want), func() bool { return g.Counters()[name] >= want })
	if got := g.Counters()[name]; got != want {
		t.Errorf("%s = %d, want %d", name, got, want)
	}
}

// wantEvent waits for the next event, which must be of a kind. First inbound packets and unknown
// SPIs are passed over unless they are asked for.
func (g *gateway) wantEvent(t testing.TB, kind ipsec.EventKind) ipsec.Event {
	t.Helper()
	for {
		select {
		case <-g.Wake():
		case <-time.After(patience):
			t.Fatalf("no event of kind %d", kind)
		}
		got := g.events.drain()
		for _, passed := range []ipsec.EventKind{ipsec.EventFirstInbound, ipsec.EventUnknownSPI} {
			got = slices.DeleteFunc(got, func(e ipsec.Event) bool { return e.Kind == passed && e.Kind != kind })
		}
		if len(got) > 1 || len(got) == 1 && got[0].Kind != kind {
			t.Fatalf("events %+v, want one of kind %d", got, kind)
		}
		if len(got) == 1 {
			return got[0]
		}
	}
}

// wantNoEvent fails if there is an event, but for first inbound packets.
func (g *gateway) wantNoEvent(t testing.TB) {
	t.Helper()
	for _, e := range g.Drain() {
		if e.Kind != ipsec.EventFirstInbound {
			t.Errorf("event %+v", e)
		}
	}
}

// superPacket is a TCP super-packet as a TUN gives it: only the pseudo-header's sum in the checksum
// field.
func superPacket(src, dst netip.AddrPort, seq uint32, payload []byte, segment int) gso.Packet {
	pkt := tcpPacket(src, dst, seq, 0x18, nil, payload)
	hdr := 40
	p := gso.Packet{Data: pkt, GSO: gso.TCPv4, SegSize: uint16(segment), NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}
	if src.Addr().Is6() {
		hdr, p.GSO, p.CsumStart = 60, gso.TCPv6, 40
	}
	p.HdrLen = uint16(hdr)
	at := int(p.CsumStart) + 16
	sum := fold(pseudoSum(src.Addr(), dst.Addr(), 6, len(pkt)-int(p.CsumStart)))
	pkt[at], pkt[at+1] = byte(sum>>8), byte(sum)
	return p
}
