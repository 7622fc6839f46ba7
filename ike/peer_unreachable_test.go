package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// unsent reports that this host has no route for the packets of a pair.
func unsent(id ipsec.ChildID) Unreachable {
	return Unreachable{ID: id, Unreachable: ipsec.Unreachable{Why: ipsec.ObstacleRoute}}
}

// quoting returns an ICMP error that quotes the side's IKE message with its newest IKE SA.
func (s *testSide) quoting(why ipsec.Obstacle, by string) Unreachable {
	sas := s.e.peers.order[0].party.sas
	newest := sas[len(sas)-1]
	return Unreachable{Unreachable: ipsec.Unreachable{Why: why, By: netip.MustParseAddr(by), Path: newest.net.Path, IKE: uint64(newest.spi.I)}}
}

// wantShown checks what status says of what keeps packets from the peer.
func (s *testSide) wantShown(want string) {
	s.p.t.Helper()
	if got := s.e.Status()[0].Unreachable; got != want {
		s.p.fatalf("%s shows %q, want %q", s.name, got, want)
	}
}

// While a peer is called, an ICMP error is the reason within a moment, for `up` as well, and the
// call goes on: it may be forged.
func TestUnreachablePeerIsSaidAtOnce(t *testing.T) {
	p := newPair(t, 1, nil)
	p.right.kill()
	ref := p.left.connect("lan")
	p.drive(100 * time.Millisecond)
	p.left.handle(p.left.quoting(ipsec.ObstaclePort, "192.0.2.2"))
	st := p.left.e.Status()[0]
	const want = "unreachable: port unreachable, said by 192.0.2.2; is IKE running at 192.0.2.2:500?; connecting"
	if st.State != PeerConnecting || st.Reason != want {
		p.fatalf("%v: %q", st.State, st.Reason)
	}
	p.wantNotice(p.left, "unreachable")
	p.right.start()
	p.drive(2 * time.Second)
	if err := p.left.done[ref]; err != nil || !p.left.answered[ref] {
		p.fatalf("the call ended by a hint: %v", err)
	}
	p.left.wantShown("")

	p = newPair(t, 1, nil)
	p.right.kill()
	ref = p.left.connect("lan")
	for range 3 {
		p.drive(29 * time.Second)
		if p.left.answered[ref] {
			break
		}
		p.left.handle(p.left.quoting(ipsec.ObstacleProhibited, "192.0.2.77"))
	}
	p.drive(time.Minute)
	if err := p.left.done[ref]; err == nil || !strings.Contains(err.Error(), "no answer to IKE_SA_INIT from 192.0.2.2:500; unreachable: prohibited by a firewall, said by 192.0.2.77") {
		p.fatalf("%v", err)
	}
}

// Whatever is said of a peer that answers, it is asked once in ten seconds and stays connected, and
// what it answers disproves what was said.
func TestUnreachableIsNotBelieved(t *testing.T) {
	for why := ipsec.ObstacleRoute; why <= ipsec.ObstacleProhibited; why++ {
		p := newPair(t, 1, nil)
		p.up()
		was := p.left.main().spi
		in := p.left.quoting(why, "192.0.2.66")
		if why.Certain() {
			in.By = netip.Addr{}
		}
		for range 90 { // 9 s
			p.left.handle(in)
			p.drive(100 * time.Millisecond)
		}
		if n := p.left.requests(wire.Informational); n != 1 {
			p.fatalf("%v: %d checks for the reports of 9 s", why, n)
		}
		if st := p.left.e.Status()[0]; st.State != PeerEstablished || st.Reason != "" || !strings.Contains(st.Unreachable, strings.TrimPrefix(why.String(), "our address ")) {
			p.fatalf("%v: %v, %q, %q", why, st.State, st.Reason, st.Unreachable)
		}
		if n := p.left.count("unreachable"); n != 1 {
			p.fatalf("%v: %d notices", why, n)
		}
		p.drive(3 * time.Second)
		p.left.handle(Hint{ID: p.left.main().children.Pairs()[0].SA.ID})
		p.drive(time.Second)
		p.left.wantShown("")
		if p.left.requests(wire.IKESAInit) != 1 || p.left.main().spi != was {
			p.fatalf("%v: there was another IKE SA", why)
		}
		p.wantTunnel()
	}
}

// count returns the number of notices of an event.
func (s *testSide) count(event string) (n int) {
	for _, f := range s.notices {
		if f.Event == event {
			n++
		}
	}
	return n
}

// An error is compared with what is sent: of a Child SA the SPI and its path, of IKE the SPI, else
// the addresses and ports.
func TestForgedICMPErrors(t *testing.T) {
	p := newPair(t, 1, older)
	p.up()
	s := p.left.main()
	child := s.children.Pairs()[0].SA
	elsewhere := netip.MustParseAddrPort("192.0.2.99:500")
	local, remote := s.net.Local(), s.net.Remote()
	for name, tt := range map[string]struct {
		u    ipsec.Unreachable
		want uint64
	}{
		"IKE":                          {ipsec.Unreachable{Path: s.net.Path, IKE: uint64(s.spi.I)}, 1},
		"IKE, without its SPI":         {ipsec.Unreachable{Path: s.net.Path}, 1},
		"IKE, another SPI":             {ipsec.Unreachable{Path: s.net.Path, IKE: uint64(s.spi.I) + 1}, 0},
		"IKE, the responder's SPI":     {ipsec.Unreachable{Path: s.net.Path, IKE: uint64(s.spi.R)}, 0},
		"to another port":              {ipsec.Unreachable{Path: ipsec.UDPPath(local, netip.AddrPortFrom(remote.Addr(), 501))}, 0},
		"to elsewhere":                 {ipsec.Unreachable{Path: ipsec.UDPPath(local, elsewhere), IKE: uint64(s.spi.I)}, 0},
		"from elsewhere":               {ipsec.Unreachable{Path: ipsec.UDPPath(elsewhere, remote), IKE: uint64(s.spi.I)}, 0},
		"from the NAT port":            {ipsec.Unreachable{Path: ipsec.NATPath(local, remote), IKE: uint64(s.spi.I)}, 0},
		"ESP":                          {ipsec.Unreachable{Path: child.Path, ESP: child.SPIOut}, 1},
		"ESP, the inbound SPI":         {ipsec.Unreachable{Path: child.Path, ESP: child.SPIIn}, 0},
		"ESP, on the path of IKE":      {ipsec.Unreachable{Path: s.net.Path, ESP: child.SPIOut}, 0},
		"ESP, without its SPI":         {ipsec.Unreachable{Path: child.Path}, 0},
		"ESP of another source":        {ipsec.Unreachable{Path: child.Path.WithLocal(elsewhere.Addr()), ESP: child.SPIOut}, 0},
		"a path that leads nowhere":    {ipsec.Unreachable{IKE: uint64(s.spi.I)}, 0},
		"ESP, the SPI and that of IKE": {ipsec.Unreachable{Path: child.Path, ESP: child.SPIOut + 1}, 0},
	} {
		before := p.left.e.Counters()
		tt.u.Why, tt.u.By = ipsec.ObstacleHost, netip.MustParseAddr("203.0.113.1")
		p.left.handle(Unreachable{Unreachable: tt.u})
		after := p.left.e.Counters()
		if n, ignored := after["ike_unreachable"]-before["ike_unreachable"], after["ike_unreachable_ignored"]-before["ike_unreachable_ignored"]; n != tt.want || ignored != 1-tt.want {
			p.fatalf("%s: counted %d, ignored %d", name, n, ignored)
		}
	}
}

// A flood of forged errors costs one check in ten seconds and one line in a minute, and is looked
// at up to a hundred times a second.
func TestFloodOfICMPErrors(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	const seconds, each = 9, 500
	for n := range seconds * each {
		in := p.left.quoting(ipsec.ObstaclePort+ipsec.Obstacle(n%2), fmt.Sprintf("203.0.113.%d", n%250))
		p.left.handle(in)
		p.drive(time.Second / each)
	}
	c := p.left.e.Counters()
	if n := c["ike_unreachable"]; n > 100*(seconds+1) || n < 100*(seconds-1) || n+c["ike_unreachable_limited"] != seconds*each {
		p.fatalf("%d were looked at, %d not", n, c["ike_unreachable_limited"])
	}
	if n := p.left.requests(wire.Informational); n != 1 {
		p.fatalf("%d checks", n)
	}
	if n := p.left.count("unreachable"); n != 1 {
		p.fatalf("%d notices", n)
	}
	p.wantTunnel()
}

// What this host knows is said at once and not covered by what an ICMP error claims.
func TestOwnObstaclesComeFirst(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	forged := p.left.quoting(ipsec.ObstaclePort, "203.0.113.1")
	own := p.left.quoting(ipsec.ObstacleFirewall, "203.0.113.1")
	own.By = netip.Addr{}
	p.left.handle(forged)
	p.left.handle(own)
	p.left.handle(forged)
	const want = "unreachable: a firewall of this host refuses what is sent (EPERM); allow UDP 500 and 4500 and IP protocol 50 to 192.0.2.2, or packets with [daemon] mark"
	p.left.wantShown(want)
	if n := p.left.count("unreachable"); n != 2 {
		p.fatalf("%d notices", n)
	}
	own.Why = ipsec.ObstacleForbidden
	p.left.handle(own)
	p.left.wantShown("unreachable: a route of this host prohibits it (EACCES); see `ip route get 192.0.2.2`")
	if n := p.left.count("unreachable"); n != 3 {
		p.fatalf("%d notices", n)
	}
	p.drive(obstacleKept + time.Second)
	p.left.wantShown("")
}

// The address that we send from is gone, and the host has no other: status says so, without a
// packet, whether the configuration names it or not.
func TestOwnAddressIsGone(t *testing.T) {
	for _, named := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			if !named {
				p.left.peers[0].Local = netip.Addr{}
			}
		})
		p.up()
		p.left.addrs = p.left.addrs[1:]
		p.left.handle(AddressesChanged{})
		want := "unreachable: our address 192.0.2.1 is gone"
		if named {
			want += "; [[peer]] local names it"
		}
		p.left.wantShown(want)
		p.drive(10 * time.Second)
		p.left.handle(unsent(p.left.main().children.Pairs()[0].SA.ID))
		p.left.wantShown(want)
		p.left.addrs = append([]netip.Addr{netip.MustParseAddr("192.0.2.1")}, p.left.addrs...)
		p.left.handle(AddressesChanged{})
		p.drive(40 * time.Second)
		p.left.wantShown("")
		p.wantTunnel()
	}
}

// Our address is gone for a while. A rekeying under way is asked for more often then, as the peer
// may be dead, and that is not taken for its silence: the rekeying is completed once the address is
// back, and the IKE SA is the same.
func TestOwnAddressIsGoneDuringARekey(t *testing.T) {
	for _, outage := range []time.Duration{500 * time.Millisecond, 1900 * time.Millisecond, 5 * time.Second} {
		p := roamer(t, nil)
		p.up2()
		was, addrs, link := p.left.main(), slices.Clone(p.left.addrs), p.link
		p.left.handle(Rekey{Peer: "right", Child: "lan", Ref: p.left.ref()})
		p.link = func(*testPacket) []time.Duration { return nil }
		p.left.addrs = nil
		p.left.handle(AddressesChanged{})
		for end := p.now.Add(outage); p.now.Before(end); {
			p.left.handle(unsent(was.children.Pairs()[0].SA.ID))
			p.drive(100 * time.Millisecond)
		}
		p.left.wantShown("unreachable: our address 192.0.2.1 is gone")
		p.link, p.left.addrs = link, addrs
		p.left.handle(AddressesChanged{})
		p.left.wantShown("")
		p.drive(testRTT + 5*time.Millisecond)
		if p.left.count("child-rekeyed") != 1 {
			p.fatalf("after %v: the rekeying is not completed a round trip after the address was back", outage)
		}
		p.drive(time.Minute)
		p.wantSameIKESA(was)
		if n := p.left.requests(wire.IKESAInit); outage < hintedCheck && n != 1 {
			p.fatalf("after %v: %d IKE SAs were tried", outage, n)
		}
		p.wantTunnel()
	}
}

// That one address is gone is still said when another IKE SA of the peer has its own.
func TestAnotherAddressIsGone(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	gone := netip.MustParseAddr("192.0.2.99")
	p.left.main().party.obstacle = &obstacle{why: ipsec.ObstacleSource, local: gone, last: p.now}
	p.left.handle(AddressesChanged{})
	p.left.wantShown("unreachable: our address 192.0.2.99 is gone")
}

// Of several addresses the next one is tried soon after an ICMP error about one, but not before
// that one has had the time to answer. The last one has all the time.
func TestNextAddressIsTriedSooner(t *testing.T) {
	first := netip.MustParseAddr("192.0.2.22")
	for _, told := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].Remote = append([]netip.Addr{first}, p.left.peers[0].Remote...)
		})
		p.left.connect("lan")
		p.drive(20 * time.Millisecond)
		if told {
			p.left.handle(p.left.quoting(ipsec.ObstacleHost, "192.0.2.254"))
		}
		took := p.waitFor(time.Minute, func() bool { return p.left.main() != nil })
		if told != (took <= 3*time.Second) || took < 2*time.Second {
			p.fatalf("told: %t, connected after %v", told, took)
		}
	}
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Remote = append([]netip.Addr{first}, p.left.peers[0].Remote...) })
	p.right.kill()
	p.left.connect("lan")
	p.drive(20 * time.Millisecond)
	for range 6 {
		p.left.handle(p.left.quoting(ipsec.ObstacleHost, "192.0.2.254"))
		p.drive(time.Second)
	}
	if p.left.e.Status()[0].Remote.Addr() == first || p.left.count("connect-failed") != 1 {
		p.fatalf("the last address was not given its time")
	}
}

// That a worker's port is blocked is told, with what helps, and changes nothing.
func TestBlockedPortIsTold(t *testing.T) {
	p := newPair(t, 1, nil)
	p.left.connect("lan")
	p.drive(time.Second)
	id, from := p.left.plane.list[0].sa.ID, ipsec.NATPath(netip.MustParseAddrPort("192.0.2.1:40123"), netip.MustParseAddrPort("192.0.2.2:4500"))
	before := p.left.snapshot()
	for why, want := range map[ipsec.Obstacle]string{
		ipsec.NoObstacle:       "ESP from UDP port 40123 does not arrive, and is",
		ipsec.ObstacleFirewall: "ESP from UDP port 40123 does not leave: a firewall of this host refuses what is sent (EPERM), and is",
	} {
		p.left.handle(PortBlocked{ID: id, Path: from, Why: why})
		want += " sent from port 4500; let UDP from any port to 192.0.2.2:4500 pass, and what several workers send is spread over cores on its way"
		if n := p.left.notices[len(p.left.notices)-1]; n.Event != "port-blocked" || n.Text != want || n.Peer != "right" || n.Level != Info {
			p.fatalf("%+v", n)
		}
	}
	told := len(p.left.notices)
	p.left.handle(PortBlocked{ID: 999, Path: from})
	if len(p.left.notices) != told {
		p.fatalf("a pair that is gone: %v", p.left.notices[told:])
	}
	if after := p.left.snapshot(); after != before {
		p.fatalf("it changed %s into %s", before, after)
	}
}
