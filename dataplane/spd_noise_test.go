package dataplane

import (
	"bytes"
	"net/netip"
	"testing"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// TestNoiseOfAPeer: what a peer's hosts say to their link is not written to the TUN, though the
// selectors of everything match it; it is counted. What is unicast is.
func TestNoiseOfAPeer(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.start(t)
	sa := childSA(t, g, g, 1)
	sa.LocalTS = everything()
	sa.RemoteTS = sa.LocalTS
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, sa)
	port := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 1) }
	noise := [][2]string{
		{"10.2.0.1", "224.0.0.251"}, {"10.2.0.1", "255.255.255.255"}, {"10.2.0.1", "0.0.0.0"}, {"0.0.0.0", "10.1.0.1"}, {"224.0.0.1", "10.1.0.1"},
		{"fe80::1", "ff02::2"}, {"fe80::1", "2001:db8::1"}, {"2001:db8::1", "fe80::1"}, {"2001:db8::1", "ff0e::1"}, {"::", "2001:db8::1"},
	}
	for i, n := range noise {
		next := uint8(esp.NextIPv4)
		if port(n[0]).Addr().Is6() {
			next = esp.NextIPv6
		}
		g.come(outerB, p.seal(next, udpPacket(port(n[0]), port(n[1]), true, nil)))
		g.wantCounter(t, "esp_noise", uint64(i+1))
	}
	g.queues[0].wantIdle(t)
	if st, _ := g.ChildStats(1); st.Drops["noise"] != uint64(len(noise)) {
		t.Errorf("drops of the SA: %v", st.Drops)
	}
	quiet := udpPacket(port("169.254.10.1"), port("169.254.10.2"), true, nil)
	g.come(outerB, p.seal(esp.NextIPv4, quiet))
	if got := g.queues[0].want(t); !bytes.Equal(got, quiet) {
		t.Errorf("got %x", got)
	}
}

// TestNamedNoise: selectors that hold nothing but noise mean it, at both ends.
func TestNamedNoise(t *testing.T) {
	groups := nets("224.0.0.0/24", "ff02::/16", "fe80::/10")
	a, b := selectedTunnel(t, 1, nil, everything(), append(everything(), groups...))
	for _, n := range [][2]string{{"10.1.0.1:7", "224.0.0.251:7"}, {"[2001:db8:1::1]:7", "[ff02::5]:7"}, {"[2001:db8:1::1]:7", "[fe80::5]:7"}} {
		pkt := udpPacket(netip.MustParseAddrPort(n[0]), netip.MustParseAddrPort(n[1]), true, nil)
		a.queues[0].inject(pkt)
		if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
			t.Errorf("got %x, want %x", got, pkt)
		}
	}
	for i, n := range [][2]string{
		{"10.1.0.1:7", "224.0.1.1:7"}, {"10.1.0.1:7", "255.255.255.255:7"}, {"0.0.0.0:7", "224.0.0.251:7"}, {"224.0.0.1:7", "224.0.0.251:7"},
		{"[fe80::1]:7", "[ff02::5]:7"}, {"[2001:db8:1::1]:7", "[ff0e::5]:7"},
	} {
		a.queues[0].inject(udpPacket(netip.MustParseAddrPort(n[0]), netip.MustParseAddrPort(n[1]), true, nil))
		a.wantCounter(t, "out_noise", uint64(i+1))
	}
	// Nothing names the groups as destinations on the way back.
	b.queues[0].inject(udpPacket(netip.MustParseAddrPort("10.2.0.1:7"), netip.MustParseAddrPort("224.0.0.251:7"), true, nil))
	b.wantCounter(t, "out_noise", 1)
	b.queues[0].wantIdle(t)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: []selector.Selector{selector.All(false)}, Remote: []selector.Selector{selector.All(false)}}}); err != nil {
		t.Fatal(err)
	}
	a.queues[0].inject(udpPacket(netip.MustParseAddrPort("10.1.0.1:7"), netip.MustParseAddrPort("224.0.0.251:7"), true, nil))
	a.wantCounter(t, "out_noise", 7)
}

func TestNoiseRaisesNothing(t *testing.T) {
	a := newGateway(t, 1, nil)
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: everything(), Remote: everything()}}); err != nil {
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
