package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/liveness"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// testRTT is the round trip of a pair's link.
const testRTT = 20 * time.Millisecond

// roamTo gives the side another address of the family in place of the one that it has, and tells
// its engine.
func (s *testSide) roamTo(addr string) {
	a := netip.MustParseAddr(addr)
	for i, old := range s.addrs {
		if old.Is4() == a.Is4() {
			s.addrs[i] = a
		}
	}
	s.handle(AddressesChanged{})
}

// gap sends a packet each way every millisecond and returns the longest time in which none of one
// way came.
func (p *testPair) gap(d time.Duration) (longest time.Duration) {
	sides := []*testSide{p.left, p.right}
	last := []time.Time{p.now, p.now}
	for end := p.now.Add(d); p.now.Before(end); {
		p.left.traffic("lan")
		p.right.traffic("lan")
		p.drive(time.Millisecond)
		for i, s := range sides {
			for _, psa := range s.plane.sas {
				if psa.lastIn.After(last[i]) {
					longest = max(longest, psa.lastIn.Sub(last[i]))
					last[i] = psa.lastIn
				}
			}
		}
	}
	for _, at := range last {
		longest = max(longest, p.now.Sub(at))
	}
	return longest
}

// roamer is a pair in which neither side's local address is configured; the given side is the one
// that moves.
func roamer(t testing.TB, edit func(p *testPair)) *testPair {
	return newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].Local, s.peers[0].DPD = netip.Addr{}, 0
		}
		p.right.peers[0].Remote = nil
		if edit != nil {
			edit(p)
		}
	})
}

// wantOneIKESA checks that the IKE SA is still the one that it was.
func (p *testPair) wantSameIKESA(was *ikeSA) {
	p.t.Helper()
	if now := p.left.e.peers.order[0].party.main(); now == nil || now.spi != was.spi {
		p.fatalf("the IKE SA is another one")
	}
}

// Either side gets another address: traffic stops for no longer than two round trips, without
// liveness checks, in both encapsulations and families.
func TestRoaming(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(p *testPair)
		v6   bool
	}{
		{name: "between culverts"},
		{name: "protocol 50", edit: older},
		{name: "encapsulation forced by both", edit: func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapAlways, EncapAlways }},
		{name: "encapsulation forced by the initiator", edit: func(p *testPair) { p.left.peers[0].Encap = EncapAlways }},
		{name: "encapsulation forced by the responder", edit: func(p *testPair) { p.right.peers[0].Encap = EncapAlways }},
		{name: "encapsulation forbidden", edit: func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapNever, EncapNever }},
		{name: "IPv6", v6: true, edit: func(p *testPair) { p.left.peers[0].Remote = p.right.addrs[1:] }},
	} {
		for _, moves := range []string{"initiator", "responder"} {
			t.Run(c.name+", "+moves, func(t *testing.T) {
				p := roamer(t, c.edit)
				p.up2()
				was := p.left.e.peers.order[0].party.main()
				encap := p.left.e.Status()[0].Children[0].Encap
				s, to := p.left, "192.0.2.101"
				if moves == "responder" {
					s = p.right
				}
				if c.v6 {
					to = "2001:db8::101"
				}
				for i := range 3 {
					p.gap(100 * time.Millisecond)
					s.roamTo(to)
					if gap := p.gap(time.Second); gap > 2*testRTT {
						p.fatalf("move %d: nothing came for %v", i, gap)
					}
					if st := s.other().e.Status()[0]; st.Remote.Addr().String() != to || st.Children[0].Encap != encap {
						p.fatalf("move %d: %s is sent to at %v, encap %v", i, s.name, st.Remote, st.Children[0].Encap)
					}
					to = netip.MustParseAddr(to).Next().String()
				}
				p.wantSameIKESA(was)
				if main := s.e.peers.order[0].party.main(); main.net.unsaid || main.net.moving() {
					p.fatalf("the peer was told, and that is not known")
				}
				p.wantTunnel()
				if n := s.requests(wire.Informational); n != 3 {
					p.fatalf("%d requests for 3 moves", n)
				}
				p.wantNotice(s, "address-changed")
				if n := s.other().e.Counters()["ike_peer_moved"]; n != 3 {
					p.fatalf("%d moves are counted", n)
				}
			})
		}
	}
}

// A move from the open into a NAT: the first request finds the NAT, the second one comes from the
// NAT port, and from then on all is encapsulated, until a move out of the NAT.
func TestRoamingIntoNAT(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){"between culverts": nil, "protocol 50": older} {
		t.Run(name, func(t *testing.T) { roamThroughNAT(roamer(t, edit)) })
	}
}

func roamThroughNAT(p *testPair) {
	p.up2()
	encap := p.left.e.Status()[0].Children[0].Encap
	p.gap(100 * time.Millisecond)
	p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1"))
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.esp != nil && pk.via == ipsec.NAT && p.left.nat != nil && p.left.nat.in[pk.dst].Port() == 500 {
			p.violated("encapsulated ESP goes to the IKE port")
		}
		return link(pk)
	}
	p.left.roamTo("10.0.0.7")
	if gap := p.gap(time.Second); gap > 2*testRTT+testRTT/2 {
		p.fatalf("nothing came for %v", gap)
	}
	l, r := p.left.e.Status()[0], p.right.e.Status()[0]
	if l.NAT != (NATState{Local: true}) || r.NAT != (NATState{Remote: true}) || !l.Children[0].Encap || !r.Children[0].Encap || r.Remote.Addr() != p.left.nat.public {
		p.fatalf("left sees %+v, right %+v at %v", l.NAT, r.NAT, r.Remote)
	}
	p.wantSound()
	before := p.left.keepalive
	p.drive(10 * time.Minute)
	if n := p.left.keepalive - before; n < 29 || n > 31 {
		p.fatalf("%d keepalives in 10 minutes behind the NAT", n)
	}
	// And out again: the NAT is gone, and nothing keeps it open.
	p.left.nat = nil
	p.left.roamTo("192.0.2.101")
	if gap := p.gap(time.Second); gap > 2*testRTT {
		p.fatalf("out of the NAT: nothing came for %v", gap)
	}
	before = p.left.keepalive
	p.drive(10 * time.Minute)
	p.wantUDP(encap)
	if p.left.keepalive != before || p.left.e.Status()[0].NAT != (NATState{}) || p.right.e.Status()[0].NAT != (NATState{}) {
		p.fatalf("out of the NAT: %d keepalives, left sees %+v", p.left.keepalive-before, p.left.e.Status()[0].NAT)
	}
}

// Behind a NAT the inner address changes, and with it the mapping.
func TestRoamingBehindNAT(t *testing.T) {
	p := roamer(t, behindNAT)
	p.up2()
	was := p.left.e.peers.order[0].party.main()
	p.gap(100 * time.Millisecond)
	p.left.roamTo("192.0.2.101")
	if gap := p.gap(time.Second); gap > 2*testRTT {
		p.fatalf("nothing came for %v", gap)
	}
	p.wantSameIKESA(was)
}

// A request is under way, to or from the old address: it is sent again from the new one, and all
// is told within two round trips.
func TestRoamingDuringExchange(t *testing.T) {
	for _, c := range []struct {
		name  string
		child string
	}{{"rekeying the Child SA", "lan"}, {"rekeying the IKE SA", ""}} {
		for after := time.Duration(0); after <= 3*testRTT; after += testRTT / 4 {
			for _, rekeys := range []string{"left", "right"} {
				t.Run(fmt.Sprintf("%s by %s, %v before", c.name, rekeys, after), func(t *testing.T) {
					p := roamer(t, nil)
					p.up2()
					p.gap(100 * time.Millisecond)
					s := p.left
					if rekeys == "right" {
						s = p.right
					}
					ref := s.rekey(c.child)
					p.gap(after)
					p.left.roamTo("192.0.2.101")
					if gap := p.gap(time.Second); gap > 2*testRTT+5*time.Millisecond {
						p.fatalf("nothing came for %v", gap)
					}
					p.drive(2 * time.Minute)
					p.wantDone(s, ref, "")
					p.wantTunnel()
					if gap := p.gap(time.Second); gap > testRTT {
						p.fatalf("afterwards nothing came for %v", gap)
					}
				})
			}
		}
	}
}

// Both sides rekey the IKE SA at once, and right's request is lost. Left moves, and announces that
// on its new IKE SA while right waits for the answer to its own request: right follows at once, and
// stays where left is when left has deleted the old IKE SA. Right may move as well.
func TestRoamingDuringCrossingRekeyings(t *testing.T) {
	for i, late := range []time.Duration{0, 500 * time.Millisecond, 0, 500 * time.Millisecond} {
		p := roamer(t, nil)
		p.up2()
		p.gap(100 * time.Millisecond)
		link, end := p.link, p.now.Add(late)
		p.link = func(pk *testPacket) []time.Duration {
			what := fmt.Sprint(pk.msg)
			if pk.from == p.right && strings.Contains(what, "CREATE_CHILD_SA request") || strings.Contains(what, "{D(IKE)}") && p.now.Before(end) {
				return nil
			}
			return link(pk)
		}
		p.right.rekey("")
		p.left.rekey("")
		p.gap(testRTT / 4)
		p.left.roamTo("192.0.2.101")
		if i > 1 {
			p.gap(testRTT)
			p.right.addrs = slices.Insert(p.right.addrs, 0, netip.MustParseAddr("192.0.2.102"))
			p.right.handle(AddressesChanged{})
		}
		if gap := p.gap(5 * time.Second); gap > 3*testRTT {
			p.fatalf("the Delete comes after %v: nothing came for %v", late, gap)
		}
		if st := p.right.e.Status()[0]; st.Remote.Addr() != p.left.addrs[0] || st.Local.Addr() != p.right.addrs[0] {
			p.fatalf("the Delete comes after %v: right sends from %v to %v", late, st.Local, st.Remote)
		}
		p.wantTunnel()
	}
}

// A second move before the answer to the first.
func TestRoamingTwiceAtOnce(t *testing.T) {
	p := roamer(t, older)
	p.up2()
	was := p.left.e.peers.order[0].party.main()
	p.gap(100 * time.Millisecond)
	p.left.roamTo("192.0.2.101")
	p.gap(testRTT / 4)
	p.left.roamTo("192.0.2.102")
	if gap := p.gap(time.Second); gap > 3*testRTT {
		p.fatalf("nothing came for %v", gap)
	}
	st := p.right.e.Status()[0]
	if st.Remote.Addr().String() != "192.0.2.102" || st.NAT != (NATState{}) || st.Children[0].Encap {
		p.fatalf("right sends to %v, sees %+v, encap %v", st.Remote, st.NAT, st.Children[0].Encap)
	}
	p.wantSameIKESA(was)
}

// Left announces its move, and right moves before its answer has passed: that comes from another
// address than the one that its hashes are of. Left asks again, rather than take it for a NAT.
func TestAnswerAfterAMove(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){"between culverts": nil, "protocol 50": older} {
		t.Run(name, func(t *testing.T) {
			p := roamer(t, edit)
			p.up2()
			was, encap := p.left.main(), p.left.e.Status()[0].Children[0].Encap
			link := p.link
			p.link = func(pk *testPacket) []time.Duration {
				if pk.from == p.right && pk.msg != nil && pk.msg.hdr.Response {
					return nil
				}
				return link(pk)
			}
			p.left.roamTo("192.0.2.101")
			p.drive(testRTT)
			p.right.roamTo("192.0.2.102")
			p.drive(testRTT)
			if at := p.left.main().net.Remote().Addr(); at != p.right.addrs[0] {
				p.fatalf("left sends to %v", at)
			}
			p.link = link
			p.drive(5 * time.Second)
			for _, s := range p.sides() {
				if st := s.e.Status()[0]; st.NAT != (NATState{}) || st.Children[0].Encap != encap || s.count("peer-moved") != 1 {
					p.fatalf("%s sees %+v, sends in UDP: %v, and has heard of %d moves", s.name, st.NAT, st.Children[0].Encap, s.count("peer-moved"))
				}
			}
			p.wantSameIKESA(was)
			p.wantTunnel()
		})
	}
}

// The link is down for a while, and comes back with the same address: nothing is done, and nothing
// is missing.
func TestSameAddressComesBack(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	was, addrs := p.left.e.peers.order[0].party.main(), slices.Clone(p.left.addrs)
	sent := p.left.requests(wire.Informational)
	p.left.addrs = nil
	p.left.handle(AddressesChanged{})
	p.drive(3 * time.Second)
	p.left.addrs = addrs
	p.left.handle(AddressesChanged{})
	if gap := p.gap(time.Second); gap > testRTT {
		p.fatalf("nothing came for %v", gap)
	}
	p.drive(time.Minute)
	p.wantSameIKESA(was)
	if n := p.left.requests(wire.Informational); n != sent || p.left.e.sweep.retry.Running() {
		p.fatalf("%d requests; a look is planned: %v", n-sent, p.left.e.sweep.retry.Running())
	}
}

// For want of another address the system would send from a protected network or, to an address of
// the whole Internet, from the link's: neither is a new home.
func TestNoHome(t *testing.T) {
	for _, c := range []struct{ v6, to string }{{"", "10.1.0.1"}, {"6", "fe80::1"}, {"", "127.0.0.1"}} {
		t.Run(c.to, func(t *testing.T) {
			p := roamer(t, func(p *testPair) {
				if c.v6 != "" {
					p.left.peers[0].Remote = p.right.addrs[1:]
				}
			})
			p.up2()
			was := p.left.e.Status()[0].Local
			sent := p.left.requests(wire.Informational)
			p.left.roamTo(c.to)
			p.drive(10 * time.Second)
			if st := p.left.e.Status()[0]; st.Local != was || p.left.requests(wire.Informational) != sent {
				p.fatalf("left sends from %v", st.Local)
			}
		})
	}
}

// The old address stays, and the route prefers another: the peer is told, if it follows.
func TestPreferredSourceChanges(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	old := p.left.addrs[0]
	p.left.addrs = slices.Insert(p.left.addrs, 0, netip.MustParseAddr("192.0.2.101"))
	p.left.handle(AddressesChanged{})
	if gap := p.gap(time.Second); gap > testRTT {
		p.fatalf("nothing came for %v", gap)
	}
	if st := p.right.e.Status()[0]; st.Remote.Addr() != p.left.addrs[0] {
		p.fatalf("right sends to %v", st.Remote)
	}
	// One that does not follow is left alone: what works is not given up.
	p = roamer(t, nil)
	p.up2()
	p.left.e.peers.order[0].party.main().net.follows = false
	p.left.addrs = slices.Insert(p.left.addrs, 0, netip.MustParseAddr("192.0.2.101"))
	p.left.handle(AddressesChanged{})
	p.drive(time.Second)
	if st := p.left.e.Status()[0]; st.Local.Addr() != old {
		p.fatalf("left sends from %v", st.Local)
	}
	// A host with several addresses is called at one that the system would not choose: so it stays.
	p = roamer(t, func(p *testPair) {
		p.right.addrs = slices.Insert(p.right.addrs, 0, netip.MustParseAddr("192.0.2.200"))
	})
	p.up2()
	p.right.handle(AddressesChanged{})
	p.drive(time.Second)
	if st := p.right.e.Status()[0]; st.Local.Addr() != netip.MustParseAddr("192.0.2.2") {
		p.fatalf("right sends from %v", st.Local)
	}
}

// A peer that does not follow, does not answer, or refuses: there is a new IKE SA from the new
// address, and soon, whatever dpd_action says.
func TestRoamingNotFollowed(t *testing.T) {
	for _, c := range []struct {
		name string
		hear func(p *testPair)
		most time.Duration
	}{
		{"it never said that it follows", func(p *testPair) { p.left.e.peers.order[0].party.main().net.follows = false }, 2*testRTT + 10*time.Millisecond},
		{"it does not answer", func(p *testPair) { p.right.e.sas.bySPI = map[wire.SPI]*ikeSA{} }, 9 * time.Second},
		{"it refuses", func(p *testPair) { p.right.e.peers.order[0].party.main().net.moves.until = p.now.Add(time.Hour) }, 3*testRTT + 10*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := roamer(t, func(p *testPair) { p.left.peers[0].DPDAction = DPDClear })
			p.up2()
			was := p.left.e.peers.order[0].party.main()
			p.gap(100 * time.Millisecond)
			c.hear(p)
			p.left.roamTo("192.0.2.101")
			if gap := p.gap(10 * time.Second); gap > c.most {
				p.fatalf("nothing came for %v", gap)
			}
			if now := p.left.e.peers.order[0].party.main(); now == nil || now.spi == was.spi {
				p.fatalf("the IKE SA is the same")
			}
			p.wantTunnel()
		})
	}
}

// A peer that sees us behind a NAT should follow. One that answers and does not is found by its
// silence, and one that does, or had nothing to send, is left alone.
func TestRoamingFollowedOrNot(t *testing.T) {
	for _, c := range []struct {
		name    string
		follows bool
		before  time.Duration // since the last traffic
		same    bool
	}{
		{"it follows", true, 0, true},
		{"it does not", false, 0, false},
		{"it has nothing to send", false, liveness.ProofBefore + time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := roamer(t, func(p *testPair) { p.left.peers[0].Encap = EncapAlways })
			p.up2()
			was := p.left.e.peers.order[0].party.main()
			was.net.follows = false
			right := p.right.e.peers.order[0].party.main()
			right.net.encap, right.net.nat.Remote = encapImpossible, c.follows
			if c.follows {
				right.net.encap = encapPossible
			}
			p.gap(100 * time.Millisecond)
			p.drive(c.before)
			p.left.roamTo("192.0.2.101")
			if c.before > 0 {
				for range 5000 { // only ours
					p.left.traffic("lan")
					p.drive(time.Millisecond)
				}
			} else if gap := p.gap(5 * time.Second); gap > liveness.ProofTime+10*testRTT || c.follows && gap > 2*testRTT {
				p.fatalf("nothing came for %v", gap)
			}
			if now := p.left.e.peers.order[0].party.main(); now == nil || (now.spi == was.spi) != c.same {
				p.fatalf("the IKE SA is the same: %v, want %v", now != nil && now.spi == was.spi, c.same)
			}
		})
	}
}

// While it is being set up an IKE SA is begun again from the new address.
func TestRoamingWhileConnecting(t *testing.T) {
	for after := time.Duration(0); after <= 3*testRTT; after += testRTT / 4 {
		p := roamer(t, nil)
		ref := p.left.connect("")
		p.drive(after)
		p.left.roamTo("192.0.2.101")
		p.drive(3*testRTT + 10*time.Millisecond)
		p.wantDone(p.left, ref, "")
		p.drive(2 * time.Second)
		p.wantTunnel()
		if st := p.right.e.Status()[0]; st.Remote.Addr() != p.left.addrs[0] {
			t.Errorf("after %v right sends to %v", after, st.Remote)
		}
	}
}

// A host that has no address yet, as at boot, begins again as soon as it has one: what it first
// said of its address would make the peer see a NAT.
func TestConnectingWithoutAddress(t *testing.T) {
	for _, told := range []bool{false, true} {
		p := roamer(t, older)
		addrs := p.left.addrs
		p.left.addrs = nil
		ref := p.left.connect("")
		p.drive(100 * time.Millisecond)
		p.left.addrs = addrs
		if told {
			p.left.handle(AddressesChanged{})
		}
		p.drive(5 * time.Second)
		p.wantDone(p.left, ref, "")
		p.wantTunnel()
		if l, r := p.left.e.Status()[0], p.right.e.Status()[0]; l.NAT != (NATState{}) || r.NAT != (NATState{}) || r.Children[0].Encap {
			t.Errorf("told %v: left sees NAT %+v, right %+v, and encapsulates: %v", told, l.NAT, r.NAT, r.Children[0].Encap)
		}
	}
}

// The first request left without a known source, and is answered before it is sent again: the
// attempt begins again with the right NAT_DETECTION_SOURCE_IP. If the source stays unknown, both
// sides take us to be behind a NAT.
func TestHashOfNoAddress(t *testing.T) {
	for _, stays := range []bool{false, true} {
		p := newPair(t, 1, older)
		p.left.peers[0].Local = netip.Addr{}
		p.left.start()
		begun := p.now
		p.left.e.cfg.LocalAddr = func(remote netip.Addr) netip.Addr {
			if stays || p.now.Equal(begun) {
				return netip.Addr{}
			}
			return p.left.addrFor(remote)
		}
		ref := p.left.connect("")
		p.drive(200 * time.Millisecond)
		p.wantDone(p.left, ref, "")
		p.drive(2 * time.Second)
		p.wantTunnel()
		want := NATState{Local: stays}
		if st := p.left.e.Status()[0]; st.NAT != want || st.Children[0].Encap != stays {
			t.Errorf("the source stays unknown %v: left sees NAT %+v, and encapsulates: %v", stays, st.NAT, st.Children[0].Encap)
		}
		want = NATState{Remote: stays}
		if st := p.right.e.Status()[0]; st.NAT != want || st.Children[0].Encap != stays {
			t.Errorf("the source stays unknown %v: right sees NAT %+v, and encapsulates: %v", stays, st.NAT, st.Children[0].Encap)
		}
	}
}

// The dataplane's word for one SA is enough, and so is a retransmission where nobody tells of
// addresses.
func TestRoamingUntold(t *testing.T) {
	for name, tell := range map[string]func(p *testPair){
		"the dataplane cannot send": func(p *testPair) { p.left.handle(unsent(p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.ID)) },
		"a request is not answered": func(p *testPair) { p.left.rekey("lan"); p.drive(5 * time.Second) },
		"nothing comes any more": func(p *testPair) {
			p.gap(45 * time.Second)
		},
		"of an SA that is not there": func(p *testPair) { p.left.handle(unsent(4711)); p.left.handle(AddressesChanged{}) },
	} {
		t.Run(name, func(t *testing.T) {
			p := roamer(t, func(p *testPair) { p.left.peers[0].DPD = 30 * time.Second })
			p.up2()
			p.left.addrs[0] = netip.MustParseAddr("192.0.2.101")
			tell(p)
			p.drive(5 * testRTT)
			if st := p.right.e.Status()[0]; st.Remote.Addr() != p.left.addrs[0] {
				p.fatalf("right sends to %v", st.Remote)
			}
		})
	}
}

// A peer that waits for its next try is tried at once when there is an address to send from, but
// not for each of very many events.
func TestAddressCutsPauseShort(t *testing.T) {
	p := roamer(t, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.right.kill()
	p.drive(6 * time.Minute)
	if pauses := p.waitFor(3*time.Minute, func() bool { return p.left.e.peers.order[0].party.try.At.Sub(p.now) > 20*time.Second }); pauses == 3*time.Minute {
		p.fatalf("there is no long pause")
	}
	p.right.start()
	for range 100 {
		p.left.handle(AddressesChanged{})
	}
	p.drive(time.Second)
	p.wantTunnel()
	p = roamer(t, func(p *testPair) {
		p.left.peers[0].Children[0].Start = StartBoot
		p.right.peers[0].PSK = []byte("another secret, of another peer")
	})
	for range 6000 {
		p.left.handle(AddressesChanged{})
		p.drive(10 * time.Millisecond)
	}
	if n := p.left.sentRequests[wire.IKESAInit]; n > 12 {
		p.fatalf("%d tries in a minute", n)
	}
}
