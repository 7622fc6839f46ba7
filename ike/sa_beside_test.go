package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/wire"
)

// severalChildren gives both sides n children, which left brings up at the start and rekeys.
func severalChildren(n int) func(p *testPair) {
	return func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			peer := &s.peers[0]
			for i := 1; i < n; i++ {
				peer.Children = append(peer.Children, testChild(s, "lan"+string(rune('a'+i)), i))
			}
			for i := range peer.Children {
				peer.Children[i].Lifetime = time.Hour
			}
		}
		for i := range p.left.peers[0].Children {
			p.left.peers[0].Children[i].Start, p.left.peers[0].Children[i].Lifetime = StartBoot, 2*time.Minute
		}
		p.right.peers[0].Remote = nil
	}
}

// refuseAll has right, as a peer of another make, refuse each CREATE_CHILD_SA request of left.
func refuseAll(p *testPair, kind wire.NotifyType) {
	refuseRekeys(p, kind, nil)
	p.before = func(s *testSide, _ Input) {
		for _, o := range s.e.sas.bySPI {
			o.net.follows = false
		}
	}
}

// wantSteady sends packets of all children both ways for a time, and checks that none is lost and
// no child goes down.
func (p *testPair) wantSteady(d time.Duration) {
	p.t.Helper()
	p.lost = nil
	down := p.left.said("child-down") + p.right.said("child-down")
	for end := p.now.Add(d); p.now.Before(end); p.drive(100 * time.Millisecond) {
		for _, c := range p.left.peers[0].Children {
			p.left.traffic(c.Name)
			p.right.traffic(c.Name)
		}
	}
	p.drive(5 * time.Second)
	p.wantNoLoss()
	p.wantSound()
	if n, want := p.left.plane.senders(), len(p.left.peers[0].Children); n != want || p.right.plane.senders() != want {
		p.fatalf("packets of %d children can be sent, and %d on the other side", n, p.right.plane.senders())
	}
	if n := p.left.said("child-down") + p.right.said("child-down") - down; n > 0 {
		p.fatalf("children went down %d times", n)
	}
}

// carrying returns how many IKE SAs of a side carry something, and how many there are.
func (s *testSide) carrying() (carrying, all int) {
	p := s.e.peers.order[0].party
	return p.carrying(), len(p.sas)
}

// TestEachChildOfARefuser has a peer that makes a Child SA in IKE_AUTH only: each child gets an IKE
// SA of its own, and all live on over many lifetimes without a loss, as every IKE SA is replaced in
// its place.
func TestEachChildOfARefuser(t *testing.T) {
	for _, kind := range []wire.NotifyType{wire.NoAdditionalSAs, wire.NoProposalChosen} {
		p := newPair(t, 1, func(p *testPair) {
			severalChildren(3)(p)
			refuseAll(p, kind)
		})
		took := p.waitFor(time.Minute, func() bool { return p.left.plane.senders() == 3 })
		if took > 15*time.Second {
			p.fatalf("%v: all children are up after %v", kind, took)
		}
		p.drive(time.Second)
		p.wantTunnel()
		p.wantSteady(30 * time.Minute)
		if n, all := p.left.carrying(); n != 3 || all > 6 {
			p.fatalf("%v: %d IKE SAs, of which %d carry something", kind, all, n)
		}
		if n := p.left.requests(wire.IKESAInit); n > 3*17+3 {
			p.fatalf("%v: %d IKE SAs were begun in 15 lifetimes of 3 children", kind, n)
		}
	}
}

// TestReplacedByOneThatRefuses has a peer that makes a Child SA in IKE_AUTH only, from a moment on
// or because it made the others itself, and an IKE SA with several children that must be replaced.
// Those that the new one cannot have get IKE SAs of their own before the old one goes.
func TestReplacedByOneThatRefuses(t *testing.T) {
	for _, kind := range []wire.NotifyType{wire.NoAdditionalSAs, wire.NoProposalChosen} {
		for _, theirs := range []bool{false, true} {
			for n := 2; n <= 3; n++ {
				p := newPair(t, 1, func(p *testPair) {
					severalChildren(n)(p)
					for i := range n {
						p.left.peers[0].Children[i].Lifetime = time.Hour
						if i > 0 && theirs {
							p.left.peers[0].Children[i].Start = StartTraffic
							p.right.peers[0].Children[i].Start = StartBoot
						}
					}
				})
				p.waitFor(time.Minute, func() bool { return p.left.plane.senders() == n })
				p.drive(time.Second)
				p.wantTunnel()
				if carrying, _ := p.left.carrying(); carrying != 1 {
					p.fatalf("%d IKE SAs carry the children", carrying)
				}
				refuseAll(p, kind)
				asked := p.left.requests(wire.CreateChildSA)
				p.left.act(func() { p.left.main().succ.wontLive("a test says so") })
				p.wantSteady(time.Minute)
				if carrying, all := p.left.carrying(); carrying != n || all != n {
					p.fatalf("%d IKE SAs, of which %d carry something", all, carrying)
				}
				if again := p.left.requests(wire.CreateChildSA) - asked; again != n-1 {
					p.fatalf("%d refusals, want one for each child that is refused", again)
				}
			}
		}
	}
}

// TestUpOfASecondChild: the command for a child that gets an IKE SA of its own is answered when it
// is up there, or when that is refused as well. One that is taken down takes its IKE SA with it.
func TestUpOfASecondChild(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(2)(p)
		p.left.peers[0].Children[1].Start = StartNever
		refuseAll(p, wire.NoAdditionalSAs)
	})
	p.drive(time.Second)
	for range 2 {
		ref := p.left.connect("lanb")
		p.drive(2 * time.Second)
		p.wantDone(p.left, ref, "")
		p.wantTunnel()
		if n, _ := p.left.carrying(); n != 2 {
			p.fatalf("%d IKE SAs carry something", n)
		}
		p.left.disconnect("lanb")
		p.drive(time.Second)
		p.wantNoChild("lanb")
		p.wantChild(p.left, "lan")
		if n, all := p.left.carrying(); n != 1 || all != 1 {
			p.fatalf("%d IKE SAs, of which %d carry something", all, n)
		}
		p.drive(ownPause)
	}
	p.right.reload(editedPeer(p.right.peers[0], func(q *Peer) { q.Children[1].Proposals = slices.Clone(otherCiphers) }), false)
	p.drive(ownPause)
	ref := p.left.connect("lanb")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "NO_PROPOSAL_CHOSEN")
	p.wantChild(p.left, "lan")
}

// otherCiphers has nothing in common with the proposals of testChild.
var otherCiphers = []wire.Proposal{{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
	{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}, {Type: wire.TransformESN, ID: wire.ESNNo},
}}}

// TestRefusedBesideAsWell has the peer refuse the second child in IKE_AUTH as well: the IKE SAs for
// it are deleted, at growing intervals, and the other child is not touched.
func TestRefusedBesideAsWell(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(2)(p)
		p.right.peers[0].Children[1].Proposals = otherCiphers
	})
	p.drive(5 * time.Second)
	want := []int{6, 8, 9} // after 1, 1+2, 1+2+4 minutes and so on, at last after one hour
	for i, hours := range []int{1, 2, 3} {
		p.drive(time.Duration(hours)*time.Hour + epoch.Sub(p.now))
		if n := p.left.requests(wire.IKESAInit) - 1; n < want[i]-1 || n > want[i]+1 {
			p.fatalf("%d IKE SAs for it after %d hours, want about %d", n, hours, want[i])
		}
		if _, all := p.left.carrying(); all != 1 {
			p.fatalf("%d IKE SAs at rest", all)
		}
	}
	p.wantChild(p.left, "lan")
	if p.left.said("child-down") > 0 || !strings.Contains(p.left.saidAll(), "NO_PROPOSAL_CHOSEN") {
		p.fatalf("left says %s", p.left.saidAll())
	}
}

// TestPeerKeepsOneIKESA has a peer that deletes each older IKE SA when there is a new one, and
// makes a Child SA in IKE_AUTH only. Its two children cannot both be up: they take turns at growing
// intervals, and not all the time.
func TestPeerKeepsOneIKESA(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(2)(p)
		refuseAll(p, wire.NoAdditionalSAs)
		for i := range p.left.peers[0].Children {
			p.left.peers[0].Children[i].Lifetime = 24 * time.Hour
		}
	})
	p.after = func(s *testSide) {
		if s != p.right || s.e == nil {
			return
		}
		var usable []*ikeSA
		for _, o := range s.e.peers.order[0].party.sas {
			if o.usable() {
				usable = append(usable, o)
			}
		}
		if len(usable) > 1 {
			p.events.add(p.now.Add(time.Millisecond), func() { p.closeOf(s, usable[0]) })
		}
	}
	p.drive(6 * time.Hour)
	if n := p.left.requests(wire.IKESAInit); n < 4 || n > 2*12 {
		p.fatalf("%d IKE SAs in 6 hours", n)
	}
	if n := p.left.plane.senders(); n != 1 {
		p.fatalf("%d children are up", n)
	}
}

// closeOf has a side delete an IKE SA, and want nothing of what it carries.
func (p *testPair) closeOf(s *testSide, o *ikeSA) {
	var fx Effects
	s.e.handling = handling{now: p.now, fx: &fx}
	for _, pol := range o.party.policies {
		pol.Stop()
	}
	o.close("only one is kept")
	for _, f := range fx.List {
		s.do(f)
	}
}

// TestReloadOfAChildWithAnotherPFS closes a child whose PFS differs, as its networks change. The
// one before had come up in IKE_AUTH; this one is refused on the IKE SA, which carries another
// child, and comes up again on one of its own.
func TestReloadOfAChildWithAnotherPFS(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(2)(p)
		p.left.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
	})
	p.drive(5 * time.Second)
	p.wantTunnel()
	edit := func(q *Peer) {
		q.Children[0].Local, q.Children[0].Remote = slices.Clone(q.Children[0].Local), slices.Clone(q.Children[0].Remote)
		q.Children[0].Local[0].End, q.Children[0].Remote[0].End = q.Children[0].Local[0].Start, q.Children[0].Remote[0].Start
	}
	p.right.reload(editedPeer(p.right.peers[0], edit), true)
	p.left.reload(editedPeer(p.left.peers[0], edit), true)
	p.waitFor(20*time.Second, func() bool { return p.left.plane.senders() == 2 })
	p.drive(time.Second)
	p.wantSteady(20 * time.Minute)
}

// TestBothHaveAnotherPFS has two children whose PFS differs, that both sides bring up and rekey:
// they come up, and stay, with few IKE SAs, whoever connected.
func TestBothHaveAnotherPFS(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		p := newPair(t, seed, func(p *testPair) {
			severalChildren(2)(p)
			allBoot(p)
			p.right.peers[0].Remote = p.left.addrs[:1]
			for i := range p.left.peers[0].Children {
				p.left.peers[0].Children[i].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
				p.right.peers[0].Children[i].Lifetime = 3 * time.Minute
			}
		})
		p.waitFor(2*time.Minute, func() bool { return p.left.plane.senders() == 2 && p.right.plane.senders() == 2 })
		p.drive(2 * time.Minute)
		begun := p.left.requests(wire.IKESAInit) + p.right.requests(wire.IKESAInit)
		p.wantSteady(20 * time.Minute)
		for _, s := range []*testSide{p.left, p.right} {
			if n, all := s.carrying(); n > 2 || all > 5 {
				p.fatalf("seed %d: %s has %d IKE SAs, of which %d carry something", seed, s.name, all, n)
			}
		}
		if n := p.left.requests(wire.IKESAInit) + p.right.requests(wire.IKESAInit) - begun; n > 40 {
			p.fatalf("seed %d: %d IKE SAs were begun in 20 minutes", seed, n)
		}
	}
}

// TestIKESAsBesideAreFew: no more than maxBeside IKE SAs carry something, however many children a
// peer refuses. Those without one wait for their next try.
func TestIKESAsBesideAreFew(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		severalChildren(maxBeside + 3)(p)
		refuseAll(p, wire.NoAdditionalSAs)
	})
	p.drive(10 * time.Minute)
	if n, _ := p.left.carrying(); n != maxBeside || p.left.plane.senders() != maxBeside {
		p.fatalf("%d IKE SAs carry something; packets of %d children can be sent", n, p.left.plane.senders())
	}
	p.wantSound()
}

// One IKE SA stays since the peer refused its Child SAs on the one that wins. When the winner has
// lost its own later, it goes, whoever made it and also if the peer seems to refuse it exchanges.
func TestWinnerLosesItsChildren(t *testing.T) {
	for _, look := range []outlook{outlookGood, outlookDying} {
		p := newPair(t, 1, nil)
		p.up()
		p.right.another()
		for len(p.left.usable()) < 2 || len(p.right.usable()) < 2 {
			p.drive(time.Millisecond)
		}
		for _, s := range p.sides() {
			first, second := s.usable()[0], s.usable()[1]
			s.act(func() {
				if s == p.left {
					(&settlement{loser: first, winner: second}).stayBeside()
				}
				second.succ.outlook = look
				second.children.Pairs()[0].Lost(child.EndPeer, "for the test")
			})
		}
		p.drive(time.Minute)
		p.wantOneIKESA()
	}
}
