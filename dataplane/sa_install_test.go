package dataplane

import (
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// traces is what a test keeps of an SA pair to see it go: nothing that keeps it alive.
type traces struct {
	pair weak.Pointer[pair]
	in   weak.Pointer[esp.Inbound]
	out  weak.Pointer[esp.Outbound]
	keys []reflect.Value // the memory of what was expanded from the keys, which may outlive the SAs
}

// trace is those of an SA pair that is installed.
func (g *gateway) trace(id ipsec.ChildID) *traces {
	c := g.pairByID(id)
	return &traces{pair: weak.Make(c), in: weak.Make(c.in), out: weak.Make(c.out), keys: keysOf(c)}
}

// keysOf is the memory of what was expanded from the keys of a pair. Only the AES-GCM of our own
// has such memory, crypto/cipher's is the standard library's affair.
func keysOf(c *pair) (keys []reflect.Value) {
	for _, sa := range []any{c.in, c.out} {
		aead := reflect.ValueOf(sa).Elem().FieldByName("keyed").FieldByName("whole").Elem().Elem()
		if k := aead.FieldByName("k"); k.IsValid() {
			keys = append(keys, k.Elem())
		}
	}
	return keys
}

// wantGone fails unless the SA pair is freed, and its keys wiped, by some collections.
func (s *traces) wantGone(t *testing.T) {
	t.Helper()
	legible := func(k reflect.Value) bool { return !k.IsZero() }
	gone := func() bool {
		return s.pair.Value() == nil && s.in.Value() == nil && s.out.Value() == nil && !slices.ContainsFunc(s.keys, legible)
	}
	for deadline := time.Now().Add(patience); !gone(); runtime.Gosched() {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatalf("left of the removed SA: pair %t, inbound %t, outbound %t, keys %t", s.pair.Value() != nil,
				s.in.Value() != nil, s.out.Value() != nil, slices.ContainsFunc(s.keys, legible))
		}
	}
}

// mixedTraffic is what leaves no way of a worker unused: small packets, super-packets, fragments.
func mixedTraffic(src, dst netip.AddrPort) []gso.Packet {
	small := gso.Packet{Data: udpPacket(src, dst, true, make([]byte, 36))}
	list := append(repeated(20, small), superPacket(src, dst, 1, make([]byte, 30000), 1388))
	list = append(list, gso.Packet{Data: udpPacket(src, dst, false, make([]byte, 3000))})
	return append(list, repeated(5, small)...)
}

// mixedPackets is how many packets come of mixedTraffic.
const mixedPackets = 25 + 22 + 3

// pass sends mixedTraffic from one to the other gateway, and waits until it has come.
func pass(t *testing.T, from, to *gateway, src, dst netip.AddrPort) {
	t.Helper()
	for i := range from.queues {
		from.queues[i].in.put(nil, mixedTraffic(src, dst)...)
	}
	for n := 0; n < mixedPackets*len(from.queues); n++ {
		select {
		case <-to.queues[0].out:
		case <-to.queues[1].out:
		case <-time.After(patience):
			t.Fatalf("%d packets came", n)
		}
	}
}

// TestRemovedSAIsFreed: once an SA pair is removed nothing of it is left, however much it has
// carried both ways, whether others carry traffic then or nobody does.
func TestRemovedSAIsFreed(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	pass(t, a, b, src4, dst4)
	pass(t, b, a, dst4, src4)
	ta, tb := a.trace(1), b.trace(1)
	install(t, a, b, childSA(t, a, b, 2))
	pass(t, a, b, src4, dst4)
	for _, g := range []*gateway{a, b} {
		g.RemoveSA(1)
	}
	ta.wantGone(t)
	tb.wantGone(t)
	pass(t, b, a, dst4, src4)
	ta, tb = a.trace(2), b.trace(2)
	for _, g := range []*gateway{a, b} {
		g.RemoveSA(2)
	}
	ta.wantGone(t)
	tb.wantGone(t)
}

// TestPanicKeepsNoSA: what a worker had in hand when it panicked is let go of as well: what it was
// about to send, and what it had received and not yet opened.
func TestPanicKeepsNoSA(t *testing.T) {
	a, b := twoGateways(t, 2, func(c *Config) { c.OnIKE = func(*netio.Received) { panic("receiving") } })
	install(t, a, b, childSA(t, a, b, 1))
	var sealed []byte
	a.ports[0].sending(func(o *netio.Outgoing) error {
		if sealed == nil {
			sealed = o.Data
			panic("sending")
		}
		return nil
	})
	a.queues[0].in.put(nil, numbered(0, 40)...)
	a.wantCounter(t, "panics", 1)
	esp := netio.Received{Data: sealed, Path: ipsec.NATPath(outerB, outerA), More: true}
	b.ports[0].in.put(nil, esp, netio.Received{Kind: netio.IKE, Data: []byte{0}})
	b.wantCounter(t, "panics", 1)
	ta, tb := a.trace(1), b.trace(1)
	for _, g := range []*gateway{a, b} {
		g.RemoveSA(1)
	}
	ta.wantGone(t)
	tb.wantGone(t)
}

// TestKeysAreClearedAtOnce: those of an SA that is refused, and of all when the workers have ended,
// though something still refers to the SAs.
func TestKeysAreClearedAtOnce(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	pass(t, a, b, src4, dst4)
	c := a.pairByID(1)
	s := a.trace(1)
	if len(s.keys) == 0 {
		t.Skip("the keys are in the standard library's memory: no VAES here")
	}
	again, err := newPair(childSA(t, a, b, 1))
	if err != nil {
		t.Fatal(err)
	}
	mine := keysOf(again)
	if err := a.publish(again); err == nil {
		t.Fatal("two SAs have one ID")
	}
	for i, k := range mine {
		if !k.IsZero() || s.keys[i].IsZero() {
			t.Errorf("key %d of the refused SA is wiped: %t; of the one in use: %t", i, k.IsZero(), s.keys[i].IsZero())
		}
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	for i, k := range s.keys {
		if !k.IsZero() {
			t.Errorf("key %d is still there after the end", i)
		}
	}
	runtime.KeepAlive(c)
}

// A pair whose path changes is one of its new path alone: the old one may be forgotten, and no
// packet of that size is sent on it any more.
func TestPairLeavesItsPath(t *testing.T) {
	a := newGateway(t, 1, func(*Config) {})
	if err := a.InstallInbound(childSA(t, a, a, 1)); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	old := a.pairs[1].path
	a.mu.Unlock()
	a.SetPath(1, ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.77:4500")))
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.pairs[1].path; at == old || len(at.pairs) != 1 || len(old.pairs) != 0 || a.paths.idle != 1 {
		t.Errorf("the old path has %d pairs, the new one %d, %d are idle", len(old.pairs), len(at.pairs), a.paths.idle)
	}
}

// inletCalls is an Inlet that notes what it is told.
type inletCalls []string

func (l *inletCalls) Expect(spi uint32) { *l = append(*l, fmt.Sprint("expect ", spi)) }
func (l *inletCalls) Live(spi uint32)   { *l = append(*l, fmt.Sprint("live ", spi)) }
func (l *inletCalls) Gone(spi uint32)   { *l = append(*l, fmt.Sprint("gone ", spi)) }

// The inlet is told of an SPI before it is handed out, of an SA of IP protocol 50 when it is there
// or comes to this path, and of the end of both.
func TestInletIsTold(t *testing.T) {
	told := &inletCalls{}
	a := newGateway(t, 1, func(c *Config) { c.Inlet = told })
	unused, err := a.AllocSPI(0)
	if err != nil {
		t.Fatal(err)
	}
	a.FreeSPI(unused)
	a.FreeSPI(unused)
	sa := childSA(t, a, newGateway(t, 1, nil), 1)
	raw := ipsec.RawPath(outerA.Addr(), outerB.Addr())
	sa.Path = raw
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	a.FreeSPI(sa.SPIIn) // which it is not
	a.SetPath(1, ipsec.NATPath(outerA, outerB))
	a.SetPath(1, raw)
	a.RemoveSA(1)
	want := fmt.Sprintf("[expect %d gone %d expect %d live %d live %d gone %d]", unused, unused, sa.SPIIn, sa.SPIIn, sa.SPIIn, sa.SPIIn)
	if got := fmt.Sprint(*told); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	*told = nil
	udp := childSA(t, a, newGateway(t, 1, nil), 2)
	udp.Path = ipsec.NATPath(outerA, outerB)
	if err := a.InstallInbound(udp); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(*told), fmt.Sprintf("[expect %d gone %d]", udp.SPIIn, udp.SPIIn); got != want {
		t.Errorf("of an SA by UDP it is told %s, want %s", got, want)
	}
}
