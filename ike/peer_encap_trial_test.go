package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

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

// While a trial waits for the answer to an earlier request of IKE, the peer still gets a probe at
// each sign of silence: one with several peers for the same networks learns by it that what it
// sends does not arrive, and goes to another one.
func TestProbesWhileATrialWaits(t *testing.T) {
	p := newPair(t, 1, nil)
	p.upRaw()
	probes, link := 0, p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.left && pk.esp != nil && pk.esp.probe {
			probes++
		}
		if pk.msg != nil || pk.from == p.right {
			return nil
		}
		return link(pk)
	}
	id := p.left.plane.list[0].sa.ID
	p.left.rekey("lan")
	p.left.handle(Unheard{ID: id})
	p.drive(4 * time.Second)
	if m := &p.left.main().party.memory; !m.trial.on.IsValid() || m.trial.left > 0 || probes != espProbes {
		p.fatalf("the trial does not wait, after %d probes", probes)
	}
	p.left.handle(Unheard{ID: id})
	if probes != espProbes+1 {
		p.fatalf("%d probes", probes)
	}
}

// Who went to the IKE port, since the NAT port did not answer, learns that it does when the peer
// goes there, and begins there the next time.
func TestPeerGoesToTheNATPort(t *testing.T) {
	p := newPair(t, 1, nil)
	p.upRaw()
	p.flow(2 * time.Second)
	s, link, changed := p.left.main(), p.link, p.left.count("encap-changed")
	m := &s.party.memory
	if !m.port.silent || m.choice(&s.net) != overIP {
		p.fatalf("left has not noted that the NAT port is silent")
	}
	p.link = func(pk *testPacket) []time.Duration {
		if pk.via == ipsec.Raw && pk.from == p.left {
			return nil
		}
		return link(pk)
	}
	p.flow(simUnheard + 5*time.Second)
	p.wantEncap(true)
	if p.left.count("encap-changed") > changed {
		p.fatalf("left has changed the port by itself")
	}
	if m.port.silent || m.port.again.Running() || m.choice(&s.net) != overUDP {
		p.fatalf("left would begin at the IKE port again")
	}
}

// Left knows that ESP in UDP does not arrive, and right begins an IKE SA at the NAT port: it goes
// to the IKE port at once.
func TestNewIKESAGoesWhereESPPasses(t *testing.T) {
	p := newPair(t, 1, nil)
	q := p.left.e.peers.order[0].party
	q.memory.local, q.memory.remote = p.left.addrs[0], p.right.addrs[0]
	q.memory.esp[overUDP].note(p.now, p.now)
	p.right.connect("")
	p.drive(time.Second)
	p.wantEncap(false)
}

// What left sends in UDP does not arrive, while right's hosts send now and then, or right probes.
// That is not an answer: left finds out at once, and knows it later.
func TestUnaskedPacketsEndNoTrial(t *testing.T) {
	for name, send := range map[string]func(p *testPair){
		"packets": func(p *testPair) { p.right.plane.sendUnasked() },
		"probes":  func(p *testPair) { p.right.act(func() { p.right.main().party.probeAll() }) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			p.up2()
			p.eatESPInUDP(p.left)
			p.left.handle(Hint{ID: p.left.plane.list[0].sa.ID})
			for range 8 {
				send(p)
				p.drive(500 * time.Millisecond)
			}
			p.wantEncap(false)
			p.left.wantWhy("ESP in UDP did not arrive")
		})
	}
}

// Each side has begun an IKE SA, and what right sends in UDP does not arrive. Left finds that out
// by the one that it sends beside, and both go to the IKE port: right may send beside the other.
func TestIKESAsGoTogether(t *testing.T) {
	p := newPair(t, 1, nil)
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		deletion := pk.msg != nil && pk.msg.hdr.Exchange == wire.Informational && pk.msg.hdr.Initiator && !pk.msg.hdr.Response
		if pk.from == p.right && (deletion || pk.via == ipsec.NAT && pk.esp != nil) {
			return nil
		}
		return link(pk)
	}
	p.left.connect("")
	p.right.connect("")
	p.drive(time.Second)
	if sas := p.left.main().party.sas; len(sas) != 2 || sas[0].net.Via() != ipsec.NAT || sas[1].net.Via() != ipsec.NAT {
		p.fatalf("left has %d IKE SAs", len(sas))
	}
	p.flow(simUnheard + 5*time.Second)
	for _, s := range p.left.main().party.sas {
		if s.usable() && s.net.Via() == ipsec.NAT {
			p.fatalf("an IKE SA is left on %v", s.net.Path)
		}
	}
}

// Both sides connect at the same time, left at the IKE port, as the NAT port did not answer it
// before, and right at the NAT port. Both send beside left's IKE SA, while right's, the newer one,
// is there still: its deletion is lost. What right sends does not arrive, and left finds that out
// where it sends.
func TestProtocol50BlockedBesideAnotherIKESA(t *testing.T) {
	for family, edit := range encapFamilies {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 1, edit)
			q := p.left.e.peers.order[0].party
			q.memory.local, q.memory.remote, q.memory.port.silent = p.left.addrs[0], p.right.addrs[0], true
			link := p.link
			p.link = func(pk *testPacket) []time.Duration {
				deletion := pk.msg != nil && pk.msg.hdr.Exchange == wire.Informational && pk.msg.hdr.Initiator
				if pk.from == p.right && (pk.via == ipsec.Raw || deletion) {
					return nil
				}
				return link(pk)
			}
			p.left.connect("")
			p.right.connect("")
			p.drive(time.Second)
			if s := q.main(); s == nil || s == q.sas[0] || s.net.Via() != ipsec.NAT || q.policies[0].Sender() == nil || saOf(q.policies[0].Sender()) != q.sas[0] {
				p.fatalf("left has %d IKE SAs, the newest at %v", len(q.sas), s.net.Path)
			}
			p.flow(simUnheard + 5*time.Second)
			if s := q.sas[0]; s.net.Via() != ipsec.NAT {
				p.fatalf("left is on %v", s.net.Path)
			}
		})
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
	was := p.left.main()
	p.eatESPInUDP(p.left, p.right)
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
