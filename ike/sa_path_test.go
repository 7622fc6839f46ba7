package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// behindNAT is a pair whose left side is behind a NAT.
func behindNAT(p *testPair) {
	p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1"))
	p.right.peers[0].Remote = nil
}

// RFC 7296, Section 2.23: the NAT is detected, and both sides move to the NAT port, with UDP
// encapsulation.
func TestNATFloat(t *testing.T) {
	p := newPair(t, 1, behindNAT)
	p.script(true)
	ref := p.left.connect("")
	init := p.wantSend("left asks at port 500", p.left, wire.IKESAInit, false, initPayloads)
	p.send(init.pk)
	resp := p.wantSend("right answers to the NAT", p.right, wire.IKESAInit, true, initResponse)
	if resp.pk.dst.Addr() != p.left.nat.public {
		p.fatalf("right answers to %v", resp.pk.dst)
	}
	p.deliver(resp)
	auth := p.wantSend("left goes on at port 4500", p.left, wire.IKEAuth, false, "...")
	if auth.pk.dst.Port() != 4500 || auth.pk.src.Port() != 4500 || auth.pk.via != ipsec.NAT {
		p.fatalf("IKE_AUTH goes from %v to %v", auth.pk.src, auth.pk.dst)
	}
	p.send(auth.pk)
	p.script(false)
	p.drive(100 * time.Millisecond)
	for _, m := range p.right.out {
		p.send(m.pk)
	}
	p.drive(3 * time.Second)
	p.wantDone(p.left, ref, "")
	p.left.traffic("lan")
	p.drive(time.Second)
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantTunnel()
	p.wantNoLoss()
	if l, r := p.left.e.Status()[0], p.right.e.Status()[0]; l.NAT != (NATState{Local: true}) || r.NAT != (NATState{Remote: true}) || !l.Children[0].Encap || !r.Children[0].Encap {
		p.fatalf("left sees %+v, right %+v", l, r)
	}
}

// Only the side behind the NAT sends keepalives, and only if it sends nothing else (RFC 3948,
// Section 4).
func TestKeepalive(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		behindNAT(p)
		p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0
	})
	p.up2()
	before := p.left.keepalive
	p.drive(10 * time.Minute)
	if n := p.left.keepalive - before; n < 29 || n > 31 {
		p.fatalf("%d keepalives in 10 minutes, want one every 20 s", n)
	}
	before = p.left.keepalive
	for range 600 {
		p.left.traffic("lan")
		p.drive(time.Second)
	}
	if n := p.left.keepalive - before; n > 1 {
		p.fatalf("%d keepalives beside other traffic", n)
	}
	if p.right.keepalive > 0 {
		p.fatalf("the side that is not behind the NAT sends %d keepalives", p.right.keepalive)
	}
}

// up2 is up for a pair whose right side cannot connect.
func (p *testPair) up2() {
	p.t.Helper()
	ref := p.left.connect("")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.left.traffic("lan")
	p.drive(time.Second)
	p.wantTunnel()
}

// The NAT forgets its mapping: the first authentic packet from the new address moves IKE and ESP
// there. A packet that is not authentic moves nothing.
func TestNATRemap(t *testing.T) {
	p := newPair(t, 1, behindNAT)
	p.up2()
	for _, by := range []string{"ESP", "IKE"} {
		p.left.nat.forget()
		old := p.right.e.Status()[0].Remote
		if by == "ESP" {
			p.left.traffic("lan")
		} else {
			p.left.rekey("lan")
		}
		p.drive(2 * time.Second)
		moved := p.right.e.Status()[0].Remote
		if moved == old || moved.Addr() != p.left.nat.public {
			p.fatalf("%s: right still sends to %v", by, moved)
		}
		p.lost = nil
		p.right.traffic("lan")
		p.drive(time.Second)
		p.wantNoLoss()
		p.drive(10 * time.Second)
		p.wantTunnel()
	}
	before := p.right.e.Status()[0].Remote
	a := newAttack(p)
	main, _ := a.established(p.right)
	m := wire.Message{Header: wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()}, Payloads: []wire.Payload{&wire.Encrypted{Body: make([]byte, 40)}}}
	a.inject(p.right, netip.AddrPortFrom(attacker.Addr(), 4500), m.AppendTo(nil))
	if after := p.right.e.Status()[0].Remote; after != before {
		p.fatalf("a forged packet moves right to %v", after)
	}
}

// Without encapsulation no ESP packet moves the peer, whatever is known of NATs.
func TestRawESPMovesNobody(t *testing.T) {
	p := newPair(t, 1, behindNAT)
	p.up2()
	before := p.right.e.Status()[0].Remote
	p.right.e.peers.order[0].party.main().net.encap = encapPossible
	p.right.handle(PeerMoved{ID: p.right.plane.ofPolicy(p.right.policy("lan"))[0].sa.ID, Path: ipsec.NATPath(p.right.home(), netip.AddrPortFrom(attacker.Addr(), 4500))})
	if after := p.right.e.Status()[0].Remote; after != before {
		p.fatalf("right follows to %v", after)
	}
}

// A host behind a NAT does not follow (RFC 7296, Section 2.23): left keeps the address that it
// knows.
func TestBehindNATFollowsNobody(t *testing.T) {
	p := newPair(t, 1, behindNAT)
	p.up2()
	a := newAttack(p)
	main, keys := a.established(p.left)
	h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, MessageID: main.win.ExpectedID()}
	a.inject(p.left, netip.AddrPortFrom(attacker.Addr(), 4500), a.seal(keys, h, 0, nil))
	p.left.handle(PeerMoved{ID: p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.ID, Path: ipsec.NATPath(p.left.home(), netip.AddrPortFrom(attacker.Addr(), 4500))})
	p.drive(time.Second)
	if st := p.left.e.Status()[0]; st.Remote.Addr() != p.right.addrs[0] {
		p.fatalf("left follows to %v", st.Remote)
	}
}

// The three values of encap, with and without a NAT.
func TestEncapModes(t *testing.T) {
	for _, c := range []struct {
		mode              EncapMode
		nat, older, encap bool
		why               string
	}{
		{EncapAuto, false, true, false, "there is no NAT"}, {EncapAuto, true, true, true, "there is a NAT"},
		{EncapAuto, false, false, true, "both sides are culvert"}, {EncapAuto, true, false, true, "there is a NAT"},
		{EncapAlways, false, false, true, `encap = "always"`}, {EncapAlways, true, false, true, `encap = "always"`},
		{EncapNever, false, false, false, `encap = "never"`},
	} {
		p := newPair(t, 1, func(p *testPair) {
			p.right.older = c.older
			if c.nat {
				behindNAT(p)
			}
			p.left.peers[0].Encap, p.right.peers[0].Encap = c.mode, c.mode
		})
		p.up2()
		for _, s := range []*testSide{p.left, p.right} {
			if st := s.e.Status()[0]; st.Children[0].Encap != c.encap {
				t.Errorf("encap %d, NAT %v: %s has %v, want %v", c.mode, c.nat, s.name, st.Children[0].Encap, c.encap)
			} else if why := st.Children[0].EncapWhy; why != c.why {
				t.Errorf("encap %d, NAT %v: %s says %q, want %q", c.mode, c.nat, s.name, why, c.why)
			}
		}
		p.right.traffic("lan")
		p.drive(time.Second)
		p.wantNoLoss()
	}
}

// One side alone may demand encapsulation: the other one takes it for a NAT.
func TestEncapAlwaysOnOneSide(t *testing.T) {
	for _, left := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			s := p.right
			if left {
				s = p.left
			}
			s.peers[0].Encap = EncapAlways
		})
		p.up2()
		if !p.left.e.Status()[0].Children[0].Encap || !p.right.e.Status()[0].Children[0].Encap {
			t.Errorf("left alone %v: not both encapsulate", left)
		}
	}
}

// IPv6 outside, and no local address configured.
func TestIPv6Outside(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Remote, p.right.peers[0].Remote = p.right.addrs[1:], p.left.addrs[1:]
		p.left.peers[0].Local, p.right.peers[0].Local = netip.Addr{}, netip.Addr{}
	})
	p.up2()
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
	if st := p.left.e.Status()[0]; st.NAT != (NATState{}) || st.Remote.Addr() != p.right.addrs[1] {
		p.fatalf("status %+v", st)
	}
}

// A new lease: the old address is no longer ours. The IKE SA is given up at the second sign, and
// the tunnel comes up again from the new address.
func TestOurAddressChanges(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Local = netip.Addr{} })
	p.up()
	p.left.addrs[0] = netip.MustParseAddr("192.0.2.77")
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	p.wantNotice(p.left, "address-changed")
	if st := p.left.e.Status()[0]; st.Local.Addr() != p.left.addrs[0] {
		p.fatalf("left sends from %v: %s", st.Local, st.Reason)
	}
	p.wantTunnel()
}

// An address that was configured, or that the peer called us at, is not the system's to change.
func TestOurAddressIsConfigured(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.left.config.LocalAddr = nil
	p.left.e.cfg.LocalAddr = func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.0.2.77") }
	main := p.left.e.peers.order[0].party.main()
	p.script(true)
	p.left.rekey("lan")
	p.drive(4 * time.Second)
	if main.state != saEstablished {
		t.Errorf("the IKE SA is %v", main.state)
	}
}
