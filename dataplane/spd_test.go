package dataplane

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/internal/packettest"
	"culvert/selector"
	"culvert/tun"
)

func TestMTUEdge(t *testing.T) {
	pad := func(total, headers int) []byte { return make([]byte, total-headers) }
	a, b, _ := tunnel(t, 1)
	st, _ := a.ChildStats(1)
	if st.MTU != 1438 { // 1500 - 20 - 8 - 16 - 16 is 1440: two more for the trailer
		t.Fatalf("inner MTU %d", st.MTU)
	}
	var outer int
	a.ports[0].wiretap(func(o *netio.Outgoing) { outer = max(outer, len(o.Data)+28) })
	for _, pkt := range [][]byte{
		udpPacket(src4, dst4, true, pad(1438, 28)), udpPacket(src6, dst6, true, pad(1438, 48)), udpPacket(src4, dst4, false, pad(1438, 28)),
	} {
		a.queues[0].inject(pkt)
		if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
			t.Error("a packet of exactly the MTU did not come through as it was")
		}
	}
	if outer > 1500 || outer < 1497 {
		t.Errorf("the largest outer packet has %d octets", outer)
	}
	over4, over6 := udpPacket(src4, dst4, true, pad(1439, 28)), udpPacket(src6, dst6, true, pad(1439, 48))
	a.queues[0].inject(over4)
	if typ, code, mtu := checkICMP(t, a.queues[0].want(t), over4); typ != 3 || code != 4 || mtu != 1438 {
		t.Errorf("IPv4: type %d code %d MTU %d", typ, code, mtu)
	}
	a.queues[0].inject(over6)
	if typ, code, mtu := checkICMP(t, a.queues[0].want(t), over6); typ != 2 || code != 0 || mtu != 1438 {
		t.Errorf("IPv6: type %d code %d MTU %d", typ, code, mtu)
	}
	b.queues[0].wantIdle(t)
	whole := udpPacket(src4, dst4, false, random(1439-28))
	a.queues[0].inject(whole)
	data, more := packettest.Reassemble(t, [][]byte{b.queues[0].want(t), b.queues[0].want(t)})
	if !bytes.Equal(data, whole[20:]) || more {
		t.Error("the fragments are not the packet")
	}
	st, _ = a.ChildStats(1)
	if st.Drops["too_big"] != 2 || a.Counters()["out_too_big"] != 2 || a.Counters()["icmp_sent"] != 2 {
		t.Errorf("too_big %d, plane %v", st.Drops["too_big"], a.Counters())
	}
}

func TestIPv6OverANarrowPath(t *testing.T) {
	a, b := twoGateways(t, 1, func(c *Config) { c.LinkMTU = func(_, _ netip.Addr) int { return 1280 } })
	install(t, a, b, childSA(t, a, b, 1))
	fragment := make(chan bool, 100)
	a.ports[0].wiretap(func(o *netio.Outgoing) { fragment <- o.Fragment })
	pkt := udpPacket(src6, dst6, true, make([]byte, 1280-48))
	a.queues[0].inject(pkt) // RFC 8200, Section 5: 1280 octets must pass, if need be in outer fragments
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Error("1280 octets of IPv6 did not pass")
	}
	payload := random(2440)
	a.queues[0].in.put(nil, superPacket(src6, dst6, 7, payload, 1220))
	segmentsAt(t, b.queues[0], 7, payload, 1220)
	small := udpPacket(src4, dst4, true, nil) // IPv4 fits, or is fragmented before it is sealed
	a.queues[0].inject(small)
	b.queues[0].want(t)
	for i, want := range []bool{true, true, false} {
		if <-fragment != want {
			t.Errorf("send %d: may be fragmented: %t, want %t", i, !want, want)
		}
	}
	over := udpPacket(src6, dst6, true, make([]byte, 1281-48))
	a.queues[0].inject(over)
	if _, _, mtu := checkICMP(t, a.queues[0].want(t), over); mtu != 1280 {
		t.Errorf("MTU %d in the Packet Too Big", mtu)
	}
}

func TestNoPolicy(t *testing.T) {
	a, _, _ := tunnel(t, 1)
	elsewhere := udpPacket(src4, netip.MustParseAddrPort("10.99.0.1:53"), true, []byte("q"))
	a.queues[0].inject(elsewhere)
	if typ, code, _ := checkICMP(t, a.queues[0].want(t), elsewhere); typ != 3 || code != 13 {
		t.Errorf("type %d code %d", typ, code)
	}
	spoofed := udpPacket(netip.MustParseAddrPort("[2001:db8:9::1]:5"), dst6, true, []byte("q"))
	a.queues[0].inject(spoofed)
	if typ, code, _ := checkICMP(t, a.queues[0].want(t), spoofed); typ != 1 || code != 1 {
		t.Errorf("type %d code %d", typ, code)
	}
	a.wantCounter(t, "out_no_policy", 2)
	if n := a.ports[0].peer.in.len(); n != 0 {
		t.Errorf("%d datagrams were sent", n)
	}
}

func TestICMPIsLimited(t *testing.T) {
	a := newGateway(t, 1, nil)
	a.clock.Store(int64(1000 * time.Second))
	a.start(t)
	pkt := udpPacket(src4, dst4, true, nil)
	for range 3 * icmpPerSecond {
		a.queues[0].inject(pkt)
	}
	a.wantCounter(t, "out_no_policy", 3*icmpPerSecond)
	a.wantCounter(t, "icmp_sent", icmpPerSecond)
	a.clock.Add(int64(time.Second))
	a.queues[0].inject(pkt)
	a.wantCounter(t, "icmp_sent", icmpPerSecond+1)
}

func TestNoiseRaisesNothing(t *testing.T) {
	a := newGateway(t, 1, nil)
	if err := a.SetPolicies([]PolicyConfig{{lan, everything(), everything()}}); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	port := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 1) }
	noise := [][2]string{
		{"10.1.0.1", "224.0.0.251"}, {"10.1.0.1", "239.255.255.250"}, {"10.1.0.1", "255.255.255.255"}, {"0.0.0.0", "10.2.0.1"},
		{"fe80::1", "ff02::2"}, {"fe80::1", "2001:db8::1"}, {"2001:db8::1", "fe80::1"}, {"::", "ff02::16"},
	}
	for _, n := range noise {
		a.queues[0].inject(udpPacket(port(n[0]), port(n[1]), true, nil))
	}
	a.queues[0].inject([]byte{0x45}, []byte{0x10, 0, 0, 0}, nil)
	a.wantCounter(t, "out_bad_packet", 3)
	a.wantCounter(t, "out_noise", uint64(len(noise)))
	a.wantNoEvent(t)
	a.queues[0].wantIdle(t)
	a.queues[0].inject(udpPacket(port("169.254.10.1"), port("169.254.10.2"), true, nil)) // numbered so by some gateways
	a.wantEvent(t, ipsec.EventAcquire)
}

func TestSelectorsOfTheSA(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	sa := childSA(t, a, b, 1)
	theirs := mirror(sa)
	theirs.RemoteTS = nets("10.1.0.0/24") // b negotiated less than a sends
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if err := b.InstallInbound(theirs); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	a.queues[0].inject(udpPacket(netip.MustParseAddrPort("10.1.1.1:1"), dst4, true, nil), udpPacket(src6, dst6, true, nil))
	b.wantCounter(t, "esp_selector_mismatch", 2)
	b.queues[0].wantIdle(t)
	inside := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(inside)
	if got := b.queues[0].want(t); !bytes.Equal(got, inside) {
		t.Error("a packet within the selectors did not come through")
	}
	st, _ := b.ChildStats(1)
	if st.Drops["selector_mismatch"] != 2 {
		t.Errorf("drops of the SA: %v", st.Drops)
	}
}

// TestPolicyThatShrinks: a worker may hold the old table while the policy's slot knows the new
// entry already. What only the old one matched must not slip into an SA that covers but the new
// one.
func TestPolicyThatShrinks(t *testing.T) {
	g := newGateway(t, 1, nil)
	sa := childSA(t, g, g, 1)
	sa.RemoteTS = nets("10.2.0.0/24")
	outside := udpPacket(src4, netip.MustParseAddrPort("10.2.9.9:1"), true, nil)
	flow := parse(t, outside).Flow
	if err := g.SetPolicies([]PolicyConfig{{lan, lanA(), lanB()}}); err != nil {
		t.Fatal(err)
	}
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	g.ActivateOutbound(1)
	old, _ := g.spd.Load().Lookup(&flow)
	if err := g.SetPolicies([]PolicyConfig{{lan, nets("10.1.0.0/16"), nets("10.2.0.0/24")}}); err != nil {
		t.Fatal(err)
	}
	if c := old.pick(&flow, old.order, 0); c != nil {
		t.Error("a packet outside the SA's selectors would be sent on it")
	}
	inside := parse(t, udpPacket(src4, netip.MustParseAddrPort("10.2.0.9:1"), true, nil)).Flow
	now, ok := g.spd.Load().Lookup(&inside)
	if !ok || now.slot != old.slot || now.order == old.order || now.covers(g.pairs[1]) != now.order || now.pick(&inside, now.order, 0) == nil {
		t.Errorf("the new entry: %+v, found %t", now, ok)
	}
}

func TestSetPolicies(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	other := ipsec.Policy{Peer: "other", Child: "lan"}
	bad := []PolicyConfig{
		{other, nil, lanB()},
		{other, lanA(), []selector.Selector{{}}},
		{lan, lanA(), lanB()}, // twice
	}
	for _, c := range bad {
		if err := a.SetPolicies([]PolicyConfig{{lan, lanA(), lanB()}, c}); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	before := a.slots[lan]
	ps := []PolicyConfig{{lan, lanA(), lanB()}, {other, lanA(), nets("10.3.0.0/16")}}
	if err := a.SetPolicies(ps); err != nil {
		t.Fatal(err)
	}
	if a.slots[lan] != before || a.spd.Load().Len() != 2 {
		t.Error("the policy that did not change has another slot, or the table is wrong")
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != other {
		t.Errorf("acquire for %v", e.Policy)
	}
	// A changed policy keeps its SAs, which carry what they were negotiated for and no more.
	if err := a.SetPolicies([]PolicyConfig{{lan, lanA(), nets("10.0.0.0/8")}}); err != nil {
		t.Fatal(err)
	}
	a.wantCounter(t, "out_no_sa", 1) // the kept packet of the policy that is gone
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.77.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != lan {
		t.Errorf("acquire for %v", e.Policy)
	}
	if err := a.SetPolicies(nil); err != nil {
		t.Fatal(err)
	}
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	a.wantCounter(t, "out_no_policy", 1)
	a.RemoveSA(1)
	if len(a.slots) != 0 || len(a.pairs) != 0 || len(a.mtus) != 0 || a.sad.count != 0 {
		t.Errorf("left behind: slots %v, pairs %v, mtus %v, %d SPIs", a.slots, a.pairs, a.mtus, a.sad.count)
	}
}

// ChangePolicies leaves all others alone, and does to those that it names what SetPolicies would.
func TestChangePolicies(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	other := ipsec.Policy{Peer: "other", Child: "lan"}
	toOther := PolicyConfig{other, lanA(), nets("10.3.0.0/16")}
	for _, c := range []struct {
		set  []PolicyConfig
		gone []ipsec.Policy
	}{
		{[]PolicyConfig{toOther, {other, nil, nil}}, nil},
		{[]PolicyConfig{toOther, toOther}, nil},
		{[]PolicyConfig{toOther}, []ipsec.Policy{other}},
	} {
		if err := a.ChangePolicies(c.set, c.gone); err == nil || a.spd.Load().Len() != 1 {
			t.Errorf("set %v, gone %v: no error, or the SPD has changed", c.set, c.gone)
		}
	}
	before := a.slots[lan]
	change := func(set []PolicyConfig, gone ...ipsec.Policy) {
		t.Helper()
		if err := a.ChangePolicies(set, gone); err != nil {
			t.Fatal(err)
		}
	}
	change([]PolicyConfig{toOther})
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	if e := a.wantEvent(t, ipsec.EventAcquire); e.Policy != other {
		t.Errorf("acquire for %v", e.Policy)
	}
	toOther.Remote = nets("10.4.0.0/16")
	change([]PolicyConfig{toOther})
	a.queues[0].inject(udpPacket(src4, netip.MustParseAddrPort("10.3.0.1:1"), true, nil))
	a.wantCounter(t, "out_no_policy", 1)
	change(nil, other, ipsec.Policy{Peer: "nobody"})
	a.wantCounter(t, "out_no_sa", 1) // the kept packet of the policy that is gone
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	b.queues[0].want(t)
	if a.slots[lan] != before || len(a.slots) != 1 || a.spd.Load().Len() != 1 {
		t.Errorf("left: slots %v, %d policies", a.slots, a.spd.Load().Len())
	}
}

func TestTUNGetsTheLargestMTU(t *testing.T) {
	set := make(chan int, 10)
	paths := map[netip.Addr]int{outerB.Addr(): 1400, outerA.Addr(): 1500}
	a := newGateway(t, 1, func(c *Config) {
		c.LinkMTU = func(_, remote netip.Addr) int { return paths[remote] }
		c.SetMTU = func(mtu int) error { set <- mtu; return nil }
	})
	a.start(t)
	want := func(mtu int) {
		t.Helper()
		select {
		case got := <-set:
			if got != mtu {
				t.Errorf("TUN MTU %d, want %d", got, mtu)
			}
		case <-time.After(patience):
			t.Fatal("the TUN's MTU was not set")
		}
	}
	sa := childSA(t, a, a, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	want(esp.InnerMTU(1400, false, true))
	wide := childSA(t, a, a, 2)
	wide.Path = ipsec.NATPath(outerA, outerA)
	if err := a.InstallInbound(wide); err != nil {
		t.Fatal(err)
	}
	want(esp.InnerMTU(1500, false, true))
	a.RemoveSA(2)
	want(esp.InnerMTU(1400, false, true))
	a.SetPath(1, ipsec.NATPath(outerA, netip.MustParseAddrPort("[2001:db8::9]:4500")))
	want(esp.InnerMTU(defaultLinkMTU, true, true)) // nothing is known of that path
}

func TestPathThatNarrows(t *testing.T) {
	path := make(chan int, 1)
	path <- 1500
	a, b := twoGateways(t, 1, func(c *Config) {
		c.LinkMTU = func(_, _ netip.Addr) int { m := <-path; path <- m; return m }
	})
	install(t, a, b, childSA(t, a, b, 1))
	<-path
	path <- 1300
	a.ports[0].sending(func(o *netio.Outgoing) error {
		if len(o.Data)+28 > 1300 {
			return netio.ErrTooBig
		}
		return nil
	})
	big := udpPacket(src4, dst4, true, make([]byte, 1400))
	a.queues[0].inject(big)
	eventually(t, "the SA's MTU follows", func() bool { st, _ := a.ChildStats(1); return st.MTU == esp.InnerMTU(1300, false, true) })
	a.queues[0].inject(big)
	if _, _, mtu := checkICMP(t, a.queues[0].want(t), big); mtu != esp.InnerMTU(1300, false, true) {
		t.Errorf("MTU %d", mtu)
	}
	a.wantCounter(t, "out_too_big", 2)
	a.ports[0].sending(func(*netio.Outgoing) error { return tun.ErrWouldBlock })
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	a.wantCounter(t, "out_send_errors", 1)
}

// TestFirstHopsAreAskedAgain: each path once, whoever complained, and all of them within a minute.
func TestFirstHopsAreAskedAgain(t *testing.T) {
	link := 1500
	asked := 0
	a := newGateway(t, 1, func(c *Config) {
		c.LinkMTU = func(_, _ netip.Addr) int { asked++; return link }
	})
	for id := ipsec.ChildID(1); id <= 10; id++ {
		if err := a.InstallInbound(childSA(t, a, a, id)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(path, questions int) {
		t.Helper()
		if asked != questions {
			t.Errorf("asked %d times, want %d", asked, questions)
		}
		mtu := esp.InnerMTU(path, false, true)
		for id := ipsec.ChildID(1); id <= 10; id++ {
			if st, _ := a.ChildStats(id); st.MTU != mtu {
				t.Errorf("SA %d: MTU %d, want %d", id, st.MTU, mtu)
			}
		}
		if len(a.mtus) != 1 || a.mtus[mtu] != 10 {
			t.Errorf("MTUs of the SAs: %v", a.mtus)
		}
		asked = 0
	}
	asked = 0
	link = 1400
	a.noticed()
	want(1500, 0) // nobody complained
	a.doubt(a.pairs[3])
	a.doubt(a.pairs[4])
	a.noticed()
	want(1400, 1) // one path, ten SAs
	link = 1390
	now := time.Unix(1000, 0)
	a.refreshSome(now)
	want(1390, 1)
	link = 1380
	a.refreshSome(now.Add(refreshEvery - 1))
	want(1390, 0)
	a.refreshSome(now.Add(refreshEvery))
	want(1380, 1)
	link = 1500
	a.doubt(a.pairs[3])
	a.noticed()
	want(1500, 1) // upwards, too
}
