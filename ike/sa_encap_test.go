package ike

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// encapFamilies are the outer families of the tests of encapsulation.
var encapFamilies = map[string]func(p *testPair){"IPv4": func(*testPair) {}, "IPv6": overSix}

// overSix has both sides use their IPv6 addresses.
func overSix(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		s.peers[0].Local, s.peers[0].Remote = netip.Addr{}, s.other().addrs[1:]
	}
}

// flow sends a packet each way every tenth of a second, has the dataplanes report what they would,
// and returns when packets last came and how often something was reported.
func (p *testPair) flow(d time.Duration) (last [2]time.Time, reports int) {
	for end := p.now.Add(d); p.now.Before(end); p.drive(100 * time.Millisecond) {
		for _, s := range []*testSide{p.left, p.right} {
			s.traffic("lan")
			reports += s.reportUnheard()
		}
	}
	for i, s := range []*testSide{p.left, p.right} {
		for _, psa := range s.plane.sas {
			last[i] = later(last[i], psa.lastIn)
		}
	}
	return last, reports
}

// reportUnheard reports the SAs of a side on which packets are sent and none come, as its dataplane
// would.
func (s *testSide) reportUnheard() (n int) {
	for _, psa := range s.plane.list {
		if psa.sends && !psa.unheard.IsZero() && s.p.now.Sub(psa.unheard) >= simUnheard {
			psa.unheard = time.Time{}
			s.later(Unheard{ID: psa.sa.ID})
			n++
		}
	}
	return n
}

// wantEncap checks that both sides send ESP so, that the packets of a second arrive, and that the
// IKE SA is at the same port on both.
func (p *testPair) wantEncap(udp bool) {
	p.t.Helper()
	p.wantUDP(udp)
	if l, r := p.left.main().net.Path, p.right.main().net.Path; l.Local() != r.Remote() || l.Remote() != r.Local() {
		p.fatalf("left is on %v, right on %v", l, r)
	}
}

// wantUDP is wantEncap where a NAT may be between.
func (p *testPair) wantUDP(udp bool) {
	p.t.Helper()
	p.lost = nil
	last, _ := p.flow(time.Second)
	for i, s := range []*testSide{p.left, p.right} {
		st := s.e.Status()[0]
		if c := st.Children[0]; c.Encap != udp {
			p.fatalf("%s sends in UDP %v, want %v (%s)", s.name, c.Encap, udp, c.EncapWhy)
		}
		if p.now.Sub(last[i]) > 500*time.Millisecond {
			p.fatalf("packets to %s do not arrive", s.name)
		}
	}
	p.wantNoLoss()
	p.wantTunnel()
}

func (s *testSide) wantWhy(want string) {
	s.p.t.Helper()
	if got := s.e.Status()[0].Children[0].EncapWhy; got != want {
		s.p.fatalf("%s says %q, want %q", s.name, got, want)
	}
}

// IKE_AUTH goes to the NAT port where both are culverts, and ESP in UDP, whoever begins.
func TestUDPBetweenCulverts(t *testing.T) {
	for family, edit := range encapFamilies {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 1, edit)
			p.script(true)
			ref := p.left.connect("")
			p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, initPayloads))
			p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, initResponse))
			auth := p.wantSend("left goes on at the NAT port", p.left, wire.IKEAuth, false, "...")
			if auth.pk.via != ipsec.NAT || auth.pk.src.Port() != 4500 || auth.pk.dst.Port() != 4500 {
				p.fatalf("IKE_AUTH goes from %v to %v by %s", auth.pk.src, auth.pk.dst, auth.pk.via.Name)
			}
			p.deliver(auth)
			p.deliver(p.wantSend("right answers there", p.right, wire.IKEAuth, true, "IDr, AUTH, SA, TSi, TSr, V, V"))
			p.wantIdle("nothing else is needed")
			p.wantDone(p.left, ref, "")
			p.script(false)
			p.wantEncap(true)
			for _, s := range []*testSide{p.left, p.right} {
				if st := s.e.Status()[0]; st.NAT != (NATState{}) {
					p.fatalf("%s sees %+v", s.name, st.NAT)
				}
				s.wantWhy("both sides are culvert")
				s.rekey("")
				p.drive(5 * time.Second)
				p.wantEncap(true)
			}
			p.drive(10 * time.Minute)
			if n := p.left.keepalive + p.right.keepalive; n > 0 {
				p.fatalf("%d keepalives without a NAT", n)
			}
		})
	}
}

// Where the NAT port is blocked the tunnel comes up at the IKE port with protocol 50. The next IKE
// SA does not wait for it again, and it is tried again later.
func TestNATPortBlocked(t *testing.T) {
	for family, edit := range encapFamilies {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 1, edit)
			open := p.link
			p.eat(ipsec.NAT)
			ref, begun := p.left.connect(""), p.now
			for !p.left.answered[ref] && p.now.Sub(begun) < 10*time.Second {
				p.drive(10 * time.Millisecond)
			}
			p.wantDone(p.left, ref, "")
			if took := p.now.Sub(begun); took > 4*time.Second {
				p.fatalf("it takes %v", took)
			}
			p.wantEncap(false)
			p.left.wantWhy("UDP port 4500 did not answer")
			p.right.wantWhy("the peer chose it")
			p.left.disconnect("")
			p.drive(2 * time.Second)
			ref = p.left.connect("")
			p.drive(2*rtt + 50*time.Millisecond)
			p.wantDone(p.left, ref, "")
			p.wantEncap(false)
			was := p.left.main()
			p.drive(udpAgain + 5*time.Second)
			p.wantEncap(false)
			p.link = open
			p.drive(udpAgain*udpFactor + 5*time.Second)
			p.wantEncap(true)
			p.wantSameIKESA(was)
			p.left.wantWhy("both sides are culvert")
		})
	}
}

// The same request was sent at both ports, and came by the one while the answer comes by the other:
// both sides end up at the port by which left was answered.
func TestAnswerAtTheOtherPort(t *testing.T) {
	for _, tt := range []struct {
		name  string
		eaten func(pk *testPacket, toRight bool) bool
		udp   bool
	}{
		{"it came at the IKE port", func(pk *testPacket, toRight bool) bool {
			return toRight && pk.via == ipsec.NAT || !toRight && pk.via == ipsec.UDP
		}, true},
		{"it came at the NAT port", func(pk *testPacket, toRight bool) bool { return !toRight && pk.via == ipsec.NAT }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			link, begun := p.link, p.now
			p.link = func(pk *testPacket) []time.Duration {
				toRight := pk.from == p.left
				if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKEAuth && p.now.Sub(begun) < 4*time.Second && tt.eaten(pk, toRight) {
					if !toRight || p.now.Sub(begun) < 2*time.Second {
						return nil
					}
					return []time.Duration{50 * time.Millisecond} // later than the one at the IKE port
				}
				return link(pk)
			}
			ref := p.left.connect("")
			p.drive(5 * time.Second)
			p.wantDone(p.left, ref, "")
			p.wantEncap(tt.udp)
			if n := p.right.count("peer-moved"); n != 1 {
				p.fatalf("right was told %d times", n)
			}
		})
	}
}

// The NAT port is blocked while the IKE SA lives, at either side: it goes on at the IKE port, and
// returns when that is over.
func TestNATPortBlockedLater(t *testing.T) {
	for family, edit := range encapFamilies {
		for _, by := range []string{"left", "right"} {
			t.Run(family+", "+by+" finds out", func(t *testing.T) {
				p := newPair(t, 1, edit)
				p.up2()
				was, open := p.left.main(), p.link
				p.eat(ipsec.NAT)
				s := p.left
				if by == "right" {
					s = p.right
				}
				s.handle(Hint{ID: s.plane.list[0].sa.ID})
				p.drive(4 * time.Second)
				p.wantEncap(false)
				p.wantSameIKESA(was)
				s.wantWhy("UDP port 4500 did not answer")
				n := p.wantNotice(s, "encap-changed")
				if n.Level != Warn || !strings.Contains(n.Text, "UDP port 4500 does not answer, and port 500 does") {
					p.fatalf("the notice is %+v", n)
				}
				p.link = open
				p.drive(udpAgain + 5*time.Second)
				p.wantEncap(true)
				p.wantSameIKESA(was)
			})
		}
	}
}

// A responder whose entry for the caller forbids encapsulation says so in IKE_AUTH: ESP goes as
// protocol 50, though IKE is at the NAT port.
func TestUDPForbiddenToTheCaller(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		own := &p.right.peers[0]
		own.Remote, own.Encap = nil, EncapNever
		other := *own
		other.Name, other.Encap = "other", EncapAuto
		other.RemoteID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
		p.right.peers = append(p.right.peers, other)
	})
	p.up2()
	p.wantEncap(false)
	if via := p.left.main().net.Via(); via != ipsec.NAT {
		p.fatalf("IKE goes by %s", via.Name)
	}
	p.left.wantWhy("there is no NAT")
}

// Encapsulation that a reload forbids, and then allows again.
func TestReloadOfEncap(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.wantEncap(true)
	for _, mode := range []EncapMode{EncapNever, EncapAuto} {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].Encap = mode
			s.handle(SetPeers{Peers: s.peers})
		}
		p.flow(20 * time.Second)
		p.wantEncap(mode == EncapAuto)
	}
}

// What is remembered of the NAT port holds between the same addresses only: from another network it
// is asked again at once.
func TestNATPortAfterRoaming(t *testing.T) {
	p := roamer(t, nil)
	open := p.link
	p.eat(ipsec.NAT)
	ref := p.left.connect("")
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantEncap(false)
	was := p.left.main()
	p.link = open
	p.left.roamTo("192.0.2.101")
	p.drive(5 * time.Second)
	p.wantEncap(true)
	p.wantSameIKESA(was)
}

// askingPort is a pair with protocol 50. Left asks at the NAT port, where the first datagrams that
// one side sends are lost.
func askingPort(t *testing.T, why portReason, from string, lost int) *testPair {
	p := newPair(t, 1, nil)
	p.upRaw()
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.via == ipsec.NAT && pk.from.name == from && lost > 0 {
			lost--
			return nil
		}
		return link(pk)
	}
	p.left.act(func() { p.left.main().net.askOtherPort(why) })
	p.drive(5 * time.Second)
	return p
}

// A question at the other port that is lost, or its answer, is asked again, also where it was
// answered at the present port meanwhile.
func TestLostQuestionAtTheOtherPort(t *testing.T) {
	for _, from := range []string{"left", "right"} {
		for _, why := range []portReason{portAgain, portESP} {
			for _, lost := range []int{1, 3} { // 3: of two questions
				t.Run(fmt.Sprintf("%d of %s, reason %d", lost, from, why), func(t *testing.T) {
					p := askingPort(t, why, from, lost)
					p.wantEncap(true)
					if m := &p.left.main().party.memory; m.fails(&p.left.main().net, overUDP) {
						p.fatalf("left has noted that the NAT port does not answer: %+v", m)
					}
				})
			}
		}
	}
}

// Where the other port answers none of three questions, that is noted, and no more are asked.
func TestSilentOtherPort(t *testing.T) {
	for _, why := range []portReason{portAgain, portESP} {
		p := askingPort(t, why, "left", 100)
		m := &p.left.main().party.memory
		if !m.port.silent || m.esp[overUDP].stands() != (why == portESP) {
			p.fatalf("left has noted %+v", m)
		}
		p.drive(time.Minute)
		if n := p.left.e.Counters()["ike_path_checked"]; n != 1+portQuestions { // one in IKE_AUTH
			p.fatalf("%d questions", n)
		}
		p.wantEncap(false)
	}
}

// A question at the other port ends when the peer moves: what answers it from where the peer was
// leads nowhere.
func TestPortAskedWhereThePeerWas(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.left && pk.via == ipsec.UDP {
			return []time.Duration{300 * time.Millisecond}
		}
		return link(pk)
	}
	p.right.act(func() { p.right.main().net.askOtherPort(portESP) })
	p.drive(testRTT)
	p.left.roamTo("192.0.2.101")
	p.drive(3 * time.Second)
	if at := p.right.main().net.Remote(); at != netip.MustParseAddrPort("192.0.2.101:4500") || p.right.count("encap-changed") > 0 {
		p.fatalf("right goes on at %v", at)
	}
	if what := p.right.wantAddrTable(); what != "" {
		p.fatalf("%s", what)
	}
	p.link = link
	p.wantEncap(true)
}

// An outage of everything changes nothing, be the first answer after it from the other port.
func TestOutageIsNotABlockedPort(t *testing.T) {
	for _, first := range []*ipsec.Transport{ipsec.NAT, ipsec.UDP} {
		p := newPair(t, 1, nil)
		p.up2()
		link, until := p.link, p.now.Add(6*time.Second)
		p.link = func(pk *testPacket) []time.Duration {
			switch {
			case p.now.Before(until):
				return nil
			case pk.via == first:
				return []time.Duration{5 * time.Millisecond}
			}
			return link(pk)
		}
		for _, s := range []*testSide{p.left, p.right} {
			s.handle(Hint{ID: s.plane.list[0].sa.ID})
		}
		p.drive(20 * time.Second)
		if n := p.left.e.Counters()["ike_port_changed"] + p.right.e.Counters()["ike_port_changed"]; n > 0 {
			p.fatalf("%s answers first: the port changed %d times", first.Name, n)
		}
		p.wantEncap(true)
	}
}
