package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// behindNATs is a pair whose left side is behind a NAT that forgets, and whose right side is a
// machine in a cloud, or behind forwarded ports.
func behindNATs(p *testPair) {
	behindNAT(p)
	public := netip.MustParseAddr("198.51.100.2")
	p.right.nat = newStaticNAT(public, p.right.addrs[0])
	p.left.peers[0].Remote = []netip.Addr{public}
}

// remoteOf returns the address to which a side sends.
func remoteOf(s *testSide) netip.AddrPort { return s.e.Status()[0].Remote }

// TestBothBehindNATs has the left NAT forget its mapping. Right follows within two round trips of
// the first packet, whatever that is, and packets pass both ways again.
func TestBothBehindNATs(t *testing.T) {
	for name, send := range map[string]func(p *testPair){
		"ESP":                        func(p *testPair) { p.left.traffic("lan") },
		"a request of left":          func(p *testPair) { p.left.rekey("lan") },
		"ESP during a request":       func(p *testPair) { p.right.rekey("lan"); p.drive(100 * time.Millisecond); p.left.traffic("lan") },
		"ESP while both rekey":       func(p *testPair) { p.right.rekey("lan"); p.left.rekey(""); p.left.traffic("lan") },
		"ESP, the first answer lost": func(p *testPair) { p.loseNext(p.left, 1); p.left.traffic("lan") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, behindNATs)
			p.up2()
			if st := p.right.e.Status()[0]; !st.NAT.Local || !st.NAT.Remote {
				t.Fatalf("right sees %+v", st.NAT)
			}
			old := remoteOf(p.right)
			p.left.nat.forget()
			send(p)
			p.drive(60 * time.Millisecond) // three ways of 10 ms each, and computations
			if name == "ESP" && remoteOf(p.right) == old {
				t.Errorf("after two round trips right still sends to %v", old)
			}
			p.drive(3 * time.Second)
			if remoteOf(p.right) == old {
				t.Errorf("right still sends to %v", old)
			}
			p.lost = nil
			p.right.traffic("lan")
			p.drive(time.Second)
			p.wantNoLoss()
			p.drive(10 * time.Second)
			p.wantTunnel()
		})
	}
}

// loseNext has the link lose the next IKE responses of a side.
func (p *testPair) loseNext(from *testSide, n int) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == from && pk.msg != nil && pk.msg.hdr.Response && n > 0 {
			n--
			return nil
		}
		return link(pk)
	}
}

// TestDivertedToStranger repeats a genuine packet from another address, which cannot answer the
// question: right asks there, keeps its peer, and soon asks nothing more.
func TestDivertedToStranger(t *testing.T) {
	p := newPair(t, 1, behindNATs)
	p.up2()
	a := newAttack(p)
	old := remoteOf(p.right)
	esp := p.right.plane.ofPolicy(p.right.policy("lan"))[0].sa.ID
	for i := range 200 {
		from := netip.AddrPortFrom(attacker.Addr(), uint16(1024+i))
		p.right.handle(PeerMoved{ID: esp, Path: ipsec.NATPath(p.right.home(), from)})
		p.drive(100 * time.Millisecond)
		if remoteOf(p.right) != old {
			t.Fatalf("right follows to %v", remoteOf(p.right))
		}
	}
	if n := len(a.replies); n == 0 || n > 40 {
		t.Errorf("right sent %d messages to strangers in 20 s", n)
	}
	p.right.traffic("lan")
	p.drive(10 * time.Second)
	p.wantNoLoss()
	p.wantTunnel()
}

// TestAnswerFromElsewhere has an answer to the question come from another address than was asked:
// nothing is followed.
func TestAnswerFromElsewhere(t *testing.T) {
	p := newPair(t, 1, behindNATs)
	p.up2()
	a := newAttack(p)
	esp := p.right.plane.ofPolicy(p.right.policy("lan"))[0].sa.ID
	asked := netip.AddrPortFrom(attacker.Addr(), 4500)
	p.right.handle(PeerMoved{ID: esp, Path: ipsec.NATPath(p.right.home(), asked)})
	p.drive(time.Millisecond)
	if len(a.replies) != 1 {
		t.Fatalf("right asks %d times", len(a.replies))
	}
	main, keys := a.established(p.right)
	old := remoteOf(p.right)
	h := wire.Header{
		InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, MajorVersion: 2, Exchange: wire.Informational,
		Initiator: true, Response: true, MessageID: a.replies[0].msg.hdr.MessageID,
	}
	a.inject(p.right, netip.AddrPortFrom(attacker.Addr(), 4501), a.seal(keys, h, 0, nil))
	if got := remoteOf(p.right); got != old {
		t.Errorf("right follows to %v", got)
	}
}

// TestResponseTellsOfMove has the left NAT forget its mapping before left answers a liveness check,
// so that the answer is the first packet from the new address. The request that it answers cannot
// be the question: another one is asked at once.
func TestResponseTellsOfMove(t *testing.T) {
	p := newPair(t, 1, behindNATs)
	p.up2()
	old, link, forgot := remoteOf(p.right), p.link, false
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Response && !forgot {
			forgot = true
			inside := p.left.nat.in[pk.src]
			p.left.nat.forget()
			pk.src = p.left.nat.outbound(inside)
		}
		return link(pk)
	}
	p.right.e.peers.order[0].party.main().live.probe()
	p.right.handle(Wake{})
	p.drive(500 * time.Millisecond)
	if !forgot || remoteOf(p.right) == old {
		p.fatalf("the mapping was forgotten: %v; right sends to %v, as before", forgot, remoteOf(p.right))
	}
	p.wantTunnel()
}

// TestDeletionFollows has left's NAT forget its mapping when right has begun to delete the IKE SA.
// The deletion goes to where left is by now, instead of to the old mapping until it is given up.
func TestDeletionFollows(t *testing.T) {
	p := newPair(t, 1, behindNATs)
	p.up2()
	p.left.nat.forget()
	p.right.handle(Disconnect{Peer: "left", Ref: p.right.ref()})
	p.drive(200 * time.Millisecond)
	p.left.traffic("lan")
	p.drive(time.Second)
	for _, s := range p.right.e.sas.bySPI {
		if !s.state.ended() {
			p.fatalf("right still has an IKE SA that is %v", s.state)
		}
	}
	if n := len(p.left.plane.sas); n > 0 {
		p.fatalf("left still has %d Child SAs", n)
	}
}
