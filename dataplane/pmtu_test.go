package dataplane

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// narrowPath loses what a sends and is larger than an MTU of a whole outer packet. It counts the
// probes among it, which have no TOS.
type narrowPath struct {
	mtu  atomic.Int64
	lost atomic.Uint64
	data atomic.Uint64 // likewise lost
}

var errLost = errors.New("lost on the way")

func (n *narrowPath) between(a *gateway) {
	a.ports[0].sending(func(o *netio.Outgoing) error {
		if outer := esp.OuterLen(0, o.Path.Is6(), o.Path.Encapsulated()) - esp.SealedLen(0); outer+len(o.Data) > int(n.mtu.Load()) {
			if o.TOS == 0 {
				n.lost.Add(1)
			} else {
				n.data.Add(1)
			}
			return errLost
		}
		return nil
	})
}

// probing is two gateways that probe, with a virtual clock, and a path of an MTU from a to b.
func probing(t *testing.T, mtu int, change func(*Config)) (a, b *gateway, path *narrowPath) {
	t.Helper()
	a, b = twoGateways(t, 1, func(c *Config) {
		c.Probe = true
		if change != nil {
			change(c)
		}
	})
	path = &narrowPath{}
	path.mtu.Store(int64(mtu))
	path.between(a)
	a.clock.Store(time.Unix(1000, 0).UnixNano())
	b.clock.Store(time.Unix(1000, 0).UnixNano())
	return a, b, path
}

// settle waits until what a has sent is answered, as far as it passed.
func (g *gateway) settle(t *testing.T, path *narrowPath) {
	t.Helper()
	eventually(t, "every probe that passes is answered", func() bool {
		c := g.Counters()
		return c["pmtu_answers"]+path.lost.Load() == c["pmtu_probes"] && len(g.dummies) == 0
	})
}

// pass lets time go by, second after second.
func (g *gateway) pass(t *testing.T, path *narrowPath, seconds int) {
	t.Helper()
	for range seconds {
		g.settle(t, path)
		g.clock.Add(int64(time.Second))
		g.searchPaths()
	}
	g.settle(t, path)
}

// noticesUse waits until what was sent on an SA is known to the control goroutine.
func (g *gateway) noticesUse(t *testing.T, id ipsec.ChildID) {
	t.Helper()
	eventually(t, "the use is noticed", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.pairs[id].path.checkAt != 0
	})
}

func (g *gateway) wantMTU(t *testing.T, id ipsec.ChildID, want int) {
	t.Helper()
	if st, _ := g.ChildStats(id); st.MTU != want {
		t.Errorf("SA %d: MTU %d, want %d", id, st.MTU, want)
	}
}

func TestBlackHoleIsFoundByProbes(t *testing.T) {
	for name, outer := range map[string]ipsec.Path{
		"UDP over IPv4":         ipsec.NATPath(outerA, outerB),
		"protocol 50 over IPv4": ipsec.RawPath(outerA.Addr(), outerB.Addr()),
		"UDP over IPv6":         ipsec.NATPath(netip.MustParseAddrPort("[2001:db8::1]:4500"), netip.MustParseAddrPort("[2001:db8::2]:4500")),
	} {
		t.Run(name, func(t *testing.T) {
			a, b, path := probing(t, 1400, nil)
			sa := childSA(t, a, b, 1)
			sa.Path = outer
			install(t, a, b, sa)
			eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_probes"] == 2 })
			a.settle(t, path)
			want := esp.InnerMTU(1400, outer.Is6(), outer.Encapsulated())
			a.pass(t, path, 15)
			a.wantMTU(t, 1, want)
			b.wantMTU(t, 1, esp.InnerMTU(1500, outer.Is6(), outer.Encapsulated())) // the way back is wide
			if n := a.Counters()["pmtu_black_holes"]; n != 1 {
				t.Errorf("%d black holes", n)
			}
			// What is in force is what senders are told, and what passes.
			big := udpPacket(src4, dst4, true, make([]byte, 1500-28))
			a.queues[0].inject(big)
			if _, _, mtu := checkICMP(t, a.queues[0].want(t), big); mtu != want {
				t.Errorf("ICMP says %d, want %d", mtu, want)
			}
			a.queues[0].inject(udpPacket(src4, dst4, true, make([]byte, want-28)))
			if got := b.queues[0].want(t); len(got) != want {
				t.Errorf("%d octets came", len(got))
			}
			if st, _ := a.ChildStats(1); st.PacketsIn != 0 || st.Drops["dummy"] != 0 {
				t.Errorf("probes are counted as traffic: %+v", st)
			}
		})
	}
}

// A path that carries nothing is probed once; one that does is, from time to time.
func TestProbesFollowTraffic(t *testing.T) {
	a, b, path := probing(t, 1500, nil)
	install(t, a, b, childSA(t, a, b, 1))
	eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_probes"] == 2 })
	a.settle(t, path)
	a.pass(t, path, 600)
	a.wantCounter(t, "pmtu_probes", 2)
	st, _ := a.ChildStats(1)
	if !st.LastOut.IsZero() {
		t.Error("a probe counts as traffic: the peer would be asked whether it lives")
	}
	data := func(n int) []byte {
		pkt := udpPacket(src4, dst4, true, make([]byte, n))
		pkt[1] = 0x10
		return pkt
	}
	send := func(n int) {
		a.queues[0].inject(data(n))
		b.queues[0].want(t)
		a.noticesUse(t, 1)
	}
	send(10)
	a.pass(t, path, 10)
	a.wantCounter(t, "pmtu_probes", 4) // the confirmation was ten minutes old
	send(1000)
	a.pass(t, path, 3)
	a.wantCounter(t, "pmtu_probes", 6)
	path.mtu.Store(1300)
	for sent := uint64(1); a.Counters()["out_too_big"] == 0; sent++ {
		if sent > 12 {
			t.Fatal("after twelve seconds nothing is found")
		}
		a.queues[0].inject(data(1400 - 28))
		eventually(t, "the packet is lost, or too big", func() bool { return path.data.Load()+a.Counters()["out_too_big"] == sent })
		if path.data.Load() == sent {
			a.noticesUse(t, 1)
		}
		a.pass(t, path, 1)
	}
	a.pass(t, path, 10)
	a.wantMTU(t, 1, esp.InnerMTU(1300, false, true))
}

// A peer that knows no probes discards them, and nothing changes.
func TestPeerThatAnswersNoProbes(t *testing.T) {
	a, b, path := probing(t, 1400, nil)
	b.cfg.Probe = false
	install(t, a, b, childSA(t, a, b, 1))
	for i := range 60 {
		a.clock.Add(int64(time.Second))
		a.searchPaths()
		if i == 10 {
			a.wantCounter(t, "pmtu_probes", 6)
		}
	}
	a.wantCounter(t, "pmtu_probes", 6)
	a.wantCounter(t, "pmtu_answers", 0)
	a.wantMTU(t, 1, esp.InnerMTU(1500, false, true))
	_ = path
}

// Dummy packets of others are counted; requests are answered by as many packets as are good for a
// search.
func TestDummies(t *testing.T) {
	a, b, _ := probing(t, 1500, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_answers"] == 2 && b.Counters()["pmtu_answers"] == 2 })
	out, err := esp.NewOutbound(sa.Outbound())
	if err != nil {
		t.Fatal(err)
	}
	var scratch esp.Scratch
	seq := uint64(100)
	send := func(inner []byte) {
		seq++
		sealed := out.Seal(&scratch, make([]byte, esp.SealedLen(len(inner))), seq, inner, esp.NextDummy)
		b.ports[0].in.put(nil, netio.Received{Data: sealed, Path: ipsec.NATPath(outerB, outerA)})
	}
	request := make([]byte, dummyLen)
	(&dummy{kind: dummyRequest}).put(request)
	for i, change := range []func(b []byte) []byte{
		func(b []byte) []byte { return nil },
		func(b []byte) []byte { return b[:dummyLen-1] },
		func(b []byte) []byte { b[0]++; return b },
		func(b []byte) []byte { b[8] = 3; return b },
		func(b []byte) []byte { b[9] = 1; return b },
	} {
		send(change(append([]byte(nil), request...)))
		b.wantCounter(t, "esp_dummy", uint64(i+1))
	}
	answers := make(chan int, 1000)
	b.ports[0].wiretap(func(o *netio.Outgoing) { answers <- len(o.Data) })
	for range 2 * answersPerSecond {
		send(request)
	}
	eventually(t, "the requests are looked at", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.pairs[1].path.answers >= 2*answersPerSecond
	})
	for range answersPerSecond - 2 { // two were answered in this second before
		select {
		case n := <-answers:
			if n > esp.SealedLen(len(request)) {
				t.Errorf("an answer of %d octets is larger than the request", n)
			}
		case <-time.After(patience):
			t.Fatal("a request was not answered")
		}
	}
	b.queues[0].inject(udpPacket(dst4, src4, true, []byte("marks the end")))
	if n := <-answers; n == esp.SealedLen(dummyLen) {
		t.Error("more requests were answered than may be")
	}
}

func TestTooBigMustQuoteALiveSA(t *testing.T) {
	errs := make(chan netio.TooBig)
	a := newGateway(t, 1, func(c *Config) { c.TooBig, c.MinMTU = errs, 700 })
	a.start(t)
	sa := childSA(t, a, a, 1)
	other := childSA(t, a, a, 2)
	other.SPIOut, other.Path = sa.SPIOut, ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.9:4500")) // peers choose these, and may choose the same
	raw := childSA(t, a, a, 3)
	raw.Path = ipsec.RawPath(netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
	for _, s := range []ipsec.ChildSA{sa, other, raw} {
		if err := a.InstallInbound(s); err != nil {
			t.Fatal(err)
		}
	}
	good := netio.TooBig{Path: ipsec.NATPath(outerA, outerB), SPI: sa.SPIOut, MTU: 1400}
	good6 := netio.TooBig{Path: raw.Path, SPI: raw.SPIOut, MTU: 1400}
	change := func(e netio.TooBig, f func(e *netio.TooBig)) netio.TooBig { f(&e); return e }
	ignored := uint64(0)
	for name, e := range map[string]netio.TooBig{
		"no SPI":                 change(good, func(e *netio.TooBig) { e.SPI = 0 }),
		"another SPI":            change(good, func(e *netio.TooBig) { e.SPI++ }),
		"an inbound SPI":         change(good, func(e *netio.TooBig) { e.SPI = sa.SPIIn }),
		"another local address":  change(good, func(e *netio.TooBig) { e.Path = e.Path.WithLocal(netip.MustParseAddr("192.0.2.8")) }),
		"another remote address": change(good, func(e *netio.TooBig) { e.Path = ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.8:4500")) }),
		"another port":           change(good, func(e *netio.TooBig) { e.Path = ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.2:4501")) }),
		"without UDP":            change(good, func(e *netio.TooBig) { e.Path = ipsec.RawPath(outerA.Addr(), outerB.Addr()) }),
		"below the floor":        change(good, func(e *netio.TooBig) { e.MTU = 699 }),
		"below the floor, IPv6":  change(good6, func(e *netio.TooBig) { e.MTU = 1279 }),
		"IPv6 with UDP":          change(good6, func(e *netio.TooBig) { e.Path = ipsec.NATPath(raw.Path.Local(), raw.Path.Remote()) }),
	} {
		errs <- e
		ignored++
		a.wantCounter(t, "pmtu_icmp_ignored", ignored)
		for id := ipsec.ChildID(1); id <= 2; id++ {
			a.wantMTU(t, id, esp.InnerMTU(1500, false, true))
		}
		a.wantMTU(t, 3, esp.InnerMTU(1500, true, false))
		if t.Failed() {
			t.Fatal(name)
		}
	}
	errs <- good
	a.wantCounter(t, "pmtu_icmp", 1)
	a.wantMTU(t, 1, esp.InnerMTU(1400, false, true))
	a.wantMTU(t, 2, esp.InnerMTU(1500, false, true))
	errs <- change(good, func(e *netio.TooBig) { e.Path, e.MTU = other.Path, 700 })
	a.wantCounter(t, "pmtu_icmp", 2)
	a.wantMTU(t, 2, esp.InnerMTU(700, false, true))
	errs <- good6
	a.wantCounter(t, "pmtu_icmp", 3)
	a.wantMTU(t, 3, esp.InnerMTU(1400, true, false))
	a.RemoveSA(1)
	errs <- change(good, func(e *netio.TooBig) { e.MTU = 1300 })
	a.wantCounter(t, "pmtu_icmp_ignored", ignored+1) // its SA is no more
	if err := a.InstallInbound(childSA(t, a, a, 4)); err != nil {
		t.Fatal(err)
	}
	a.wantMTU(t, 4, esp.InnerMTU(1400, false, true)) // but what was learnt of the path is remembered
	for _, id := range []ipsec.ChildID{2, 3, 4} {
		a.RemoveSA(id)
	}
	if n := len(a.paths.bySPI) + len(a.paths.sameSPI); n != 0 {
		t.Errorf("%d SPIs are left", n)
	}
}

// A path that no SA takes is forgotten after a while, and at once where there are very many.
func TestPathsAreForgotten(t *testing.T) {
	a := newGateway(t, 1, nil)
	now := time.Unix(1000, 0)
	a.clock.Store(now.UnixNano())
	for i := range rememberMost + 10 {
		sa := childSA(t, a, a, ipsec.ChildID(i+1))
		local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)}), 4500)
		sa.Path = ipsec.NATPath(local, netip.AddrPortFrom(outerB.Addr(), uint16(1+i%60000)))
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		a.RemoveSA(sa.ID)
	}
	count := func() (n int) {
		for _, pt := range a.paths.all {
			for ; pt != nil; pt = pt.next {
				n++
			}
		}
		if n != a.paths.count || n != a.paths.idle {
			t.Errorf("%d paths, counted %d, %d of them idle", n, a.paths.count, a.paths.idle)
		}
		return n
	}
	if n := count(); n != rememberMost {
		t.Errorf("%d paths are remembered", n)
	}
	a.refreshSome(now.Add(rememberFor - time.Second))
	if n := count(); n != rememberMost {
		t.Errorf("%d paths are remembered", n)
	}
	a.refreshSome(now.Add(rememberFor + refreshEvery))
	if n := count(); n != 0 {
		t.Errorf("%d paths are remembered", n)
	}
}

func TestCeilings(t *testing.T) {
	set := make(chan int, 10)
	a, b := twoGateways(t, 1, func(c *Config) {
		c.MTU = 1350
		c.SetMTU = func(mtu int) error { set <- mtu; return nil }
	})
	install(t, a, b, childSA(t, a, b, 1))
	a.wantMTU(t, 1, 1350)
	if got := <-set; got != 1350 {
		t.Errorf("TUN MTU %d", got)
	}
	a.SetCeilings(map[string]int{"peer": 1290, "other": 1280})
	a.wantMTU(t, 1, 1290)
	install(t, a, b, childSA(t, a, b, 2))
	a.wantMTU(t, 2, 1290)
	a.mu.Lock()
	outer := a.pairs[1].path.search.MTU()
	a.mu.Unlock()
	if outer < esp.OuterLen(1290, false, true) || esp.InnerMTU(outer, false, true) > 1290+3 {
		t.Errorf("a path MTU of %d is searched for an inner one of 1290", outer)
	}
	a.SetCeilings(map[string]int{"peer": 1400})
	a.wantMTU(t, 1, 1350) // the daemon's is less
	a.SetCeilings(nil)
	a.wantMTU(t, 2, 1350)
	// It reaches the MSS of what is sent and of what is received.
	a.SetCeilings(map[string]int{"peer": 1300})
	mss := func(pkt []byte) int { return int(pkt[42])<<8 | int(pkt[43]) }
	a.queues[0].inject(tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil))
	if got := mss(b.queues[0].want(t)); got != 1260 {
		t.Errorf("MSS of the SYN %d, want 1260", got)
	}
	b.queues[0].inject(tcpPacket(dst4, src4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil))
	if got := mss(a.queues[0].want(t)); got != 1260 {
		t.Errorf("MSS of a SYN from the peer %d, want 1260", got)
	}
}

// Very many SAs that come up at once do not cause a flood of probes.
func TestProbesHaveABudget(t *testing.T) {
	b := &budget{}
	now := time.Unix(1000, 0)
	sent := 0
	for range 10 * 1000 {
		for b.fill(now) == 0 {
			b.left -= 2
			sent += 2
		}
		now = now.Add(time.Millisecond)
	}
	if least, most := 9*probesPerSecond, 10*probesPerSecond+probeBurst+2; sent < least || sent > most {
		t.Errorf("%d probes in ten seconds, want %d to %d", sent, least, most)
	}
	b.fill(now)
	b.left = 0
	if wait := b.fill(now); wait <= 0 || wait > time.Second/probesPerSecond {
		t.Errorf("the next probe in %v", wait)
	}
	b.fill(now.Add(-time.Hour)) // a clock that is set back
	if b.left < 0 || b.left > probeBurst {
		t.Errorf("%v left", b.left)
	}
}

// Who sees the SPI can make many small changes. They do not fill the log.
func TestPathChangesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	a := newGateway(t, 1, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	sa := childSA(t, a, a, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	for second := range 3 {
		a.clock.Store(time.Unix(1000+int64(second), 0).UnixNano())
		for i := range 100 {
			a.pathTooBig(netio.TooBig{Path: ipsec.NATPath(outerA, outerB), SPI: sa.SPIOut, MTU: 1499 - 100*second - i})
		}
	}
	a.wantMTU(t, 1, esp.InnerMTU(1200, false, true))
	if n := strings.Count(log.String(), "path MTU has changed"); n != 3 {
		t.Errorf("%d lines in three seconds:\n%s", n, log.String())
	}
}
