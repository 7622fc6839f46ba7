package ike

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// hostsOnly makes the child of a side one in transport mode, between two addresses.
func hostsOnly(s *testSide, local, remote netip.Addr) {
	c := &s.peers[0].Children[0]
	c.Mode, c.Local, c.Remote = ModeTransport, []selector.Selector{selector.FromAddr(local)}, []selector.Selector{selector.FromAddr(remote)}
}

// hostChild makes the children of both sides such, as each sees the addresses.
func hostChild(p *testPair) {
	left, right := p.left.addrs[0], p.right.addrs[0]
	if n := p.left.nat; n != nil {
		left = n.public
	}
	if n := p.right.nat; n != nil {
		right = n.public
	}
	hostsOnly(p.left, p.left.addrs[0], right)
	hostsOnly(p.right, p.right.addrs[0], left)
}

// wantHosts checks that each side has pairs in transport mode alone, with the hosts as it sees them
// and as the peer sees them.
func (p *testPair) wantHosts(when string) {
	p.t.Helper()
	views := map[*testSide]ipsec.Hosts{}
	for _, s := range []*testSide{p.left, p.right} {
		list := s.plane.ofPolicy(s.policy("lan"))
		if len(list) == 0 {
			p.fatalf("%s: %s has no Child SA", when, s.name)
		}
		for _, psa := range list {
			sa, want := psa.sa, s.peers[0].Children[0]
			if h := sa.Hosts; !h.Transport() || !selector.Equal(sa.LocalTS, want.Local) || !selector.Equal(sa.RemoteTS, want.Remote) || sa.LocalTS[0].Start != h.Local || sa.RemoteTS[0].Start != h.Remote {
				p.fatalf("%s: %s has %+v, %v with %v", when, s.name, sa.Hosts, sa.LocalTS, sa.RemoteTS)
			}
			views[s] = sa.Hosts
		}
		if st := s.e.Status()[0].Children[0]; !st.Transport || st.Reason != "" {
			p.fatalf("%s: %s shows %+v", when, s.name, st)
		}
	}
	l, r := views[p.left], views[p.right]
	if l.SeenLocal != r.Remote || l.SeenRemote != r.Local || r.SeenLocal != l.Remote || r.SeenRemote != l.Local {
		p.fatalf("%s: left has %+v, right %+v", when, l, r)
	}
}

// TestTransportMode: each side has the addresses as it sees them, and those that the peer sees,
// without a NAT and behind one or two. A pair that is rekeyed, by either side, keeps its mode, and
// so does one that a new IKE SA makes.
func TestTransportMode(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){
		"no NAT": func(*testPair) {}, "NAT": behindNAT, "two NATs": behindNATs,
		"IPv6": func(p *testPair) {
			for _, s := range []*testSide{p.left, p.right} {
				s.addrs = s.addrs[1:]
			}
			p.left.peers, p.right.peers = []Peer{defaultPeer(p.left, p.right)}, []Peer{defaultPeer(p.right, p.left)}
		},
		"forced encapsulation": func(p *testPair) {
			p.left.peers[0].Encap, p.right.peers[0].Encap = EncapAlways, EncapAlways
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				edit(p)
				hostChild(p)
			})
			ref := p.left.connect("")
			p.drive(3 * time.Second)
			p.wantDone(p.left, ref, "")
			p.wantHosts("at first")
			for _, s := range []*testSide{p.left, p.right, p.left} {
				ref := s.rekey("lan")
				p.drive(3 * time.Second)
				p.wantDone(s, ref, "")
				p.wantHosts("rekeyed by " + s.name)
			}
			p.left.rekey("")
			p.drive(3 * time.Second)
			ref = p.left.rekey("lan")
			p.drive(3 * time.Second)
			p.wantDone(p.left, ref, "")
			p.wantHosts("on a new IKE SA")
			if n := p.right.said("transport-declined"); n != 0 {
				t.Errorf("right says %d times that it declines", n)
			}
		})
	}
}

// TestTransportMessages: the notify stands in the request and in the response, in IKE_AUTH and in
// CREATE_CHILD_SA, and the responder's selectors are as it sees the addresses.
func TestTransportMessages(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		behindNAT(p)
		hostChild(p)
	})
	p.script(true)
	p.left.connect("")
	p.send(p.wantSend("left asks", p.left, wire.IKESAInit, false, "...").pk)
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	has := func(m *testMessage, tsi, tsr netip.Addr) {
		t.Helper()
		i, _ := wire.FindTS(m.payloads, false)
		r, _ := wire.FindTS(m.payloads, true)
		a, ok := selector.Host(selectorsOf(i))
		b, ok2 := selector.Host(selectorsOf(r))
		if !asksForTransport(m.payloads) || !ok || !ok2 || a != tsi || b != tsr {
			p.fatalf("it has %v, %v with %v", m, a, b)
		}
	}
	own, public, server := p.left.addrs[0], p.left.nat.public, p.right.addrs[0]
	ask := p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "...")
	has(ask, own, server)
	p.send(ask.pk)
	answer := p.wantSend("right answers", p.right, wire.IKEAuth, true, "...")
	has(answer, public, server)
	p.deliver(answer)
	p.right.rekey("lan")
	ask = p.wantSend("right rekeys", p.right, wire.CreateChildSA, false, "...")
	has(ask, server, public)
	p.deliver(ask)
	has(p.wantSend("left answers", p.left, wire.CreateChildSA, true, "..."), server, own)
}

// TestTransportModeDiffers: where one side has transport mode and the other has not, nothing is
// left of the Child SA, and each says why.
func TestTransportModeDiffers(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		hostChild(p)
		p.right.peers[0].Children[0].Mode = ModeTunnel
	})
	ref := p.left.connect("")
	p.drive(3 * time.Second)
	p.wantDone(p.left, ref, "declines transport mode")
	if n := p.right.said("transport-declined"); n != 1 {
		p.fatalf("right says %d times that it declines", n)
	}
	for _, s := range []*testSide{p.left, p.right} {
		if n := len(s.plane.ofPolicy(s.policy("lan"))); n != 0 {
			p.fatalf("%s has %d Child SAs", s.name, n)
		}
	}
	if st := p.left.e.Status()[0].Children[0]; !strings.Contains(st.Reason, "declines transport mode") || !st.Transport {
		p.fatalf("left shows %+v", st)
	}

	p = newPair(t, 1, func(p *testPair) {
		hostChild(p)
		p.left.peers[0].Children[0].Mode = ModeTunnel
	})
	ref = p.left.connect("")
	p.drive(3 * time.Second)
	p.wantDone(p.left, ref, "TS_UNACCEPTABLE")
	if text := p.right.e.Status()[0].Children[0].Reason; !strings.Contains(text, "the peer asks for tunnel mode, and this child is in transport mode") {
		p.fatalf("right says %q", text)
	}
}

// TestTransportBetweenOthers: no side asks for transport mode, or agrees to it, between other hosts
// than those of the IKE SA.
func TestTransportBetweenOthers(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.77")
	p := newPair(t, 1, func(p *testPair) {
		hostChild(p)
		hostsOnly(p.left, other, p.right.addrs[0])
	})
	ref := p.left.connect("")
	p.drive(3 * time.Second)
	p.wantDone(p.left, ref, "transport mode protects 192.0.2.77 with 192.0.2.2, and the IKE SA is between 192.0.2.1 and 192.0.2.2")

	a := oneOfTwo(t, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			c := &s.peers[0].Children[1]
			c.Mode, c.Local, c.Remote = ModeTransport, []selector.Selector{selector.FromAddr(other)}, []selector.Selector{selector.FromAddr(other)}
		}
	})
	offer := testESPProposal
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, 4}
	list := []selector.Selector{selector.FromAddr(other)}
	a.asPeer(a.right, wire.CreateChildSA, &wire.Notify{Kind: wire.UseTransportMode},
		&wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, list), wireTS(true, list))
	a.wantSend("right refuses", a.right, wire.CreateChildSA, true, "N(TS_UNACCEPTABLE)")
}

// TestTransportRekeyInTunnelMode: a peer that rekeys without asking for transport mode, or that
// answers our rekeying in tunnel mode, does not change the mode.
func TestTransportRekeyInTunnelMode(t *testing.T) {
	a := newAttack(newPair(t, 1, hostChild))
	ref := a.left.connect("lan")
	a.drive(2 * time.Second)
	a.wantDone(a.left, ref, "")
	a.script(true)
	pair := a.right.plane.ofPolicy(a.right.policy("lan"))[0].sa
	offer := testESPProposal
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, 4}
	a.asPeer(a.right, wire.CreateChildSA, &wire.Notify{Protocol: wire.ProtoESP, SPI: spiOctets(pair.SPIOut), Kind: wire.RekeySA},
		&wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, pair.RemoteTS), wireTS(true, pair.LocalTS))
	a.wantSend("right refuses", a.right, wire.CreateChildSA, true, "N(NO_PROPOSAL_CHOSEN)")
	a.wantHosts("after the refusal")
}
