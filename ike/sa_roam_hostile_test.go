package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// word is an authentic request of the victim's peer that says where it is, as that sends it next.
func (a *attack) word(victim *testSide, at netip.AddrPort) []byte {
	a.t.Helper()
	main, _ := a.established(victim)
	ps := []wire.Payload{
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: natHash(main.spi.I, main.spi.R, at)},
		&wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: natHash(main.spi.I, main.spi.R, main.net.Local())},
	}
	return a.forgeRequest(victim, wire.Informational, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
}

// wantAt checks where a side sends to, IKE and ESP.
func (a *attack) wantAt(what string, s *testSide, want netip.Addr) {
	a.t.Helper()
	if st := s.e.Status()[0]; st.Remote.Addr() != want {
		a.fatalf("%s: %s sends IKE to %v", what, s.name, st.Remote)
	}
	for _, psa := range s.plane.sas {
		if psa.sa.Path.Remote().Addr() != want {
			a.fatalf("%s: %s sends ESP to %v", what, s.name, psa.sa.Path.Remote())
		}
	}
}

// What moves nobody: what is not authentic, what says nothing of where it comes from, and what was
// heard before.
func TestHostileMoves(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	a := newAttack(p)
	main, keys := a.established(p.right)
	home := p.left.home().Addr()
	clear := wire.Message{
		Header: wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()},
		Payloads: []wire.Payload{
			&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: natHash(main.spi.I, main.spi.R, attacker)},
			&wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: natHash(main.spi.I, main.spi.R, main.net.Local())},
		},
	}
	a.inject(p.right, attacker, clear.AppendTo(nil))
	a.wantAt("in the clear", p.right, home)
	forged := a.word(p.right, attacker)
	forged[len(forged)-1] ^= 1
	a.inject(p.right, attacker, forged)
	a.wantAt("forged", p.right, home)

	h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, MajorVersion: 2, Exchange: wire.Informational, Initiator: true, MessageID: main.win.ExpectedID()}
	a.inject(p.right, attacker, a.seal(keys, h, 0, nil))
	a.wantAt("an authentic request, its source changed, that says nothing of it", p.right, home)
	p.right.handle(PeerMoved{ID: p.right.plane.ofPolicy(p.right.policy("lan"))[0].sa.ID, Path: ipsec.NATPath(p.right.home(), netip.AddrPortFrom(attacker.Addr(), 4500))})
	a.wantAt("authentic ESP of a peer that is not behind a NAT", p.right, home)

	to := netip.MustParseAddrPort("192.0.2.101:500")
	word := a.word(p.right, to)
	a.inject(p.right, to, word)
	a.wantAt("the peer's own word", p.right, to.Addr())
	a.replies = nil
	for range 100 {
		a.inject(p.right, attacker, word)
	}
	a.wantAt("the same once more from elsewhere", p.right, to.Addr())
	if len(a.replies) > window.MaxStrays {
		a.fatalf("%d answers to a stranger", len(a.replies))
	}
	a.inject(p.right, netip.MustParseAddrPort("192.0.2.102:500"), a.word(p.right, netip.MustParseAddrPort("192.0.2.102:500")))
	a.inject(p.right, to, word)
	a.wantAt("an older word", p.right, netip.MustParseAddr("192.0.2.102"))
}

// A word that was caught and sent on from elsewhere is not believed by a host that is behind a
// NAT, or does no NAT traversal: it is asked for nothing and the peer is told so.
func TestHostileMovesOfWordsInTransit(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(p *testPair)
		hurt func(p *testPair) *testSide
	}{
		{"behind a NAT", behindNAT, func(p *testPair) *testSide { return p.left }},
		{"encapsulation forbidden", func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapNever, EncapNever }, func(p *testPair) *testSide { return p.right }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := roamer(t, c.edit)
			p.up2()
			a := newAttack(p)
			victim := c.hurt(p)
			before := victim.e.Status()[0].Remote.Addr()
			a.inject(victim, attacker, a.word(victim, victim.other().home()))
			a.wantAt("caught and sent on", victim, before)
			if victim.e.Counters()["ike_move_refused"] != 1 {
				a.fatalf("not counted: %v", victim.e.Counters())
			}
		})
	}
}

// The number of moves is limited, whether the peer or a NAT in front of it causes them: by
// announcements, by IKE or by ESP.
func TestMovesAreLimited(t *testing.T) {
	const seconds = 20
	for name, move := range map[string]func(a *attack, to netip.AddrPort){
		"by its word": func(a *attack, to netip.AddrPort) { a.inject(a.right, to, a.word(a.right, to)) },
		"by IKE": func(a *attack, to netip.AddrPort) {
			a.inject(a.right, to, a.forgeRequest(a.right, wire.Informational, 0, nil))
		},
		"by ESP": func(a *attack, to netip.AddrPort) {
			a.right.handle(PeerMoved{ID: a.right.plane.ofPolicy(a.right.policy("lan"))[0].sa.ID, Path: ipsec.NATPath(a.right.home(), to)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := roamer(t, func(p *testPair) { p.left.peers[0].Encap = EncapAlways })
			p.up2()
			a := newAttack(p)
			to := netip.MustParseAddrPort("198.51.100.1:4500")
			for range seconds * 100 {
				to = netip.AddrPortFrom(to.Addr().Next(), 4500)
				move(a, to)
				p.drive(10 * time.Millisecond)
			}
			c := p.right.e.Counters()
			if n := c["ike_peer_moved"]; n < seconds || n > seconds+maxMoves || c["ike_moves_limited"] == 0 {
				p.fatalf("%d moves in %d s, %d refused", n, seconds, c["ike_moves_limited"])
			}
		})
	}
}
