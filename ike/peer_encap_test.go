package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// upRaw brings up a pair of culverts with protocol 50, since the NAT port is blocked, and opens the
// link again.
func (p *testPair) upRaw() {
	p.t.Helper()
	open := p.link
	p.eat(ipsec.NAT)
	ref := p.left.connect("")
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantEncap(false)
	p.link = open
}

// Protocol 50 does not arrive, or does not any more, in one direction or both, and either side
// finds out: culverts go over to UDP, once.
func TestProtocol50Blocked(t *testing.T) {
	for family, edit := range encapFamilies {
		for _, from := range []string{"left", "right", "both"} {
			t.Run(family+", from "+from, func(t *testing.T) {
				p := newPair(t, 1, edit)
				p.upRaw()
				was, link := p.left.main(), p.link
				p.link = func(pk *testPacket) []time.Duration {
					if pk.via == ipsec.Raw && (from == "both" || pk.from.name == from) {
						return nil
					}
					return link(pk)
				}
				p.flow(simUnheard + 5*time.Second)
				p.wantEncap(true)
				p.wantSameIKESA(was)
				notices := 0
				for _, s := range []*testSide{p.left, p.right} {
					for _, n := range s.notices {
						if strings.Contains(n.Text, "protocol 50 does not arrive, while the peer answers IKE") {
							notices++
						}
					}
				}
				if notices == 0 || notices > 2 {
					p.fatalf("%d notices", notices)
				}
				p.flow(time.Minute)
				p.wantEncap(true)
			})
		}
	}
}

// An ICMP error that quotes a live SPI has it found out at once whether ESP passes, and changes
// nothing if it does.
func TestICMPErrorAboutESP(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		p := newPair(t, 1, nil)
		p.upRaw()
		if blocked {
			p.eat(ipsec.Raw)
		}
		sa := p.left.plane.list[0].sa
		p.left.handle(Unreachable{Unreachable: ipsec.Unreachable{Why: ipsec.ObstacleProtocol, By: attacker.Addr(), Path: sa.Path, ESP: sa.SPIOut}})
		p.drive(4 * time.Second)
		p.wantEncap(blocked)
	}
}

// ESP in UDP does not arrive, while IKE at the same port does: protocol 50 is used.
func TestESPInUDPBlocked(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	was, link := p.left.main(), p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.via == ipsec.NAT && pk.esp != nil {
			return nil
		}
		return link(pk)
	}
	p.flow(simUnheard + 5*time.Second)
	p.wantEncap(false)
	p.wantSameIKESA(was)
	p.flow(time.Minute)
	p.wantEncap(false)
}

// Neither passes: that is said once by each side, and the IKE SA changes its port a few times.
func TestNoESPPasses(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.esp != nil {
			return nil
		}
		return link(pk)
	}
	p.flow(10 * time.Minute)
	moved := p.left.e.Counters()["ike_port_changed"] + p.right.e.Counters()["ike_port_changed"]
	if moved > 14 {
		p.fatalf("the port changed %d times", moved)
	}
	for _, s := range []*testSide{p.left, p.right} {
		if n := s.count("esp-blocked"); n > 1 {
			p.fatalf("%s says %d times that nothing passes", s.name, n)
		}
	}
	if p.left.count("esp-blocked")+p.right.count("esp-blocked") == 0 {
		p.fatalf("nobody says that nothing passes")
	}
}

// Traffic of one direction changes nothing: a culvert is asked whether packets arrive.
func TestOneWayBetweenCulverts(t *testing.T) {
	p := newPair(t, 1, nil)
	p.upRaw()
	for range 600 {
		p.left.traffic("lan")
		p.left.reportUnheard()
		p.drive(100 * time.Millisecond)
	}
	if p.left.main().net.Via() != ipsec.UDP {
		p.fatalf("left is on %v", p.left.main().net.Path)
	}
	p.wantEncap(false)
}

// A stranger, here an older culvert, gets what NAT detection says. Where nothing ever came on a
// Child SA it is connected to again, in UDP, and the old IKE SA goes when the new one stands.
func TestProtocol50BlockedToStranger(t *testing.T) {
	for family, edit := range encapFamilies {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				edit(p)
				p.right.older = true
				p.right.peers[0].Remote = nil
			})
			open := p.link
			p.up2()
			p.wantEncap(false)
			p.left.wantWhy("there is no NAT")
			p.eat(ipsec.Raw)
			p.flow(time.Minute)
			if p.left.e.Status()[0].Children[0].Encap {
				p.fatalf("something came on the Child SA, and UDP is used")
			}
			p.left.rekey("lan")
			p.flow(simUnheard + 10*time.Second)
			p.wantEncap(true)
			p.left.wantWhy("protocol 50 did not arrive")
			n := p.wantNotice(p.left, "encap-changed")
			if n.Level != Warn || !strings.Contains(n.Text, "protocol 50 seems not to arrive") || !strings.Contains(n.Text, `encap = "always"`) {
				p.fatalf("the notice is %+v", n)
			}
			p.link = open
			p.flow(time.Minute)
			for range 2 { // it stays so, for other IKE SAs as well
				p.left.disconnect("")
				p.drive(2 * time.Second)
				p.left.connect("")
				p.flow(3 * time.Second)
				p.wantEncap(true)
			}
			if n := p.left.count("encap-changed"); n != 1 {
				p.fatalf("%d notices", n)
			}
		})
	}
}

// Traffic of one direction to a stranger may be taken for a sign: once, and nothing is lost by it.
func TestOneWayToStranger(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.older, p.right.noProbes = true, true })
	p.up()
	inits := p.left.sentRequests[wire.IKESAInit]
	for range 3000 {
		p.left.traffic("lan")
		p.left.reportUnheard()
		p.drive(100 * time.Millisecond)
	}
	if n := p.left.sentRequests[wire.IKESAInit] - inits; n > 1 || p.left.count("encap-changed") > 1 {
		p.fatalf("%d IKE SAs were made", n)
	}
	p.wantNoLoss()
	p.wantTunnel()
}

// A stranger that does not answer at its NAT port either keeps the IKE SA that it has, and is not
// tried again.
func TestStrangerWithoutNATPort(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.older = true })
	p.eat(ipsec.Raw)
	p.eat(ipsec.NAT)
	ref := p.left.connect("")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	was := p.left.main()
	p.flow(10 * time.Minute)
	p.wantSameIKESA(was)
	if n := p.left.sentRequests[wire.IKESAInit]; n > 3 {
		p.fatalf("%d attempts", n)
	}
	if st := p.left.e.Status()[0]; st.State != PeerEstablished {
		p.fatalf("status %+v", st)
	}
}

// To a stranger that only calls us nothing can be begun: people are told, once.
func TestStrangerThatCalls(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.older, p.right.peers[0].Remote = true, nil })
	p.eat(ipsec.Raw)
	p.left.connect("")
	p.drive(2 * time.Second)
	for range 600 {
		p.right.traffic("lan")
		p.right.reportUnheard()
		p.drive(100 * time.Millisecond)
	}
	if n := p.wantNotice(p.right, "esp-blocked"); p.right.count("esp-blocked") != 1 || !strings.Contains(n.Text, `encap = "always"`) {
		p.fatalf("%d notices, %+v", p.right.count("esp-blocked"), n)
	}
	p.wantTunnel()
}

// Where the configuration says how ESP goes, or a NAT does, no silence changes it.
func TestSilenceChangesNothing(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){
		"never":  func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapNever, EncapNever },
		"always": func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapAlways, EncapAlways },
		"NAT":    behindNAT,
	} {
		p := newPair(t, 1, edit)
		p.up2()
		was, path := p.left.main(), p.left.main().net.Path
		for range 3 {
			for _, s := range []*testSide{p.left, p.right} {
				s.handle(Unheard{ID: s.plane.list[0].sa.ID, Never: true})
				s.handle(Unheard{ID: 999, Never: true})
			}
			p.drive(10 * time.Second)
		}
		p.wantSameIKESA(was)
		if p.left.main().net.Path != path || p.left.count("encap-changed")+p.right.count("encap-changed") > 0 {
			t.Errorf("%s: left is on %v", name, p.left.main().net.Path)
		}
	}
}

// With a party, or a peer that is no longer configured, ends what is to be asked of it later.
func TestEncapTimersEnd(t *testing.T) {
	p := manyUsers(t, 1)
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
	left, right := p.left.e.peers.order[0].party, p.right.e.peers.order[0].members.list[0]
	for _, q := range []*party{left, right} {
		q.memory.portFailed(&q.main().net)
		q.main().net.doubtESP()
	}
	p.drive(time.Second / 2)
	p.left.handle(SetPeers{})
	p.drive(lingerDead + time.Second)
	for _, q := range []*party{left, right} {
		if len(q.sas) > 0 || q.memory.again.Running() || q.memory.trial.Running() {
			p.fatalf("%s: %d IKE SAs, timers run: %v, %v", q.cfg.Name, len(q.sas), q.memory.again.Running(), q.memory.trial.Running())
		}
	}
}
