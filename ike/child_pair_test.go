package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/selector"
)

// withPFS adds a key exchange to the children of both sides; left guesses X25519, right wants
// ECP-256.
func withPFS(p *testPair) {
	twoChildren(p)
	for i := range 2 {
		p.left.peers[0].Children[i].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519), withGroup(testESPProposal, wire.GroupECP256)}
		p.right.peers[0].Children[i].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupECP256)}
	}
}

// RFC 7296, Section 1.3: a wrong guess of the group is corrected, when a Child SA is created and
// when it is rekeyed.
func TestChildWithPFS(t *testing.T) {
	p := newPair(t, 1, withPFS)
	ref := p.left.connect("lan")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.script(true)

	ref = p.left.connect("two")
	p.deliver(p.wantSend("left asks for a second child", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519), TSi, TSr"))
	p.deliver(p.wantSend("right wants its group", p.right, wire.CreateChildSA, true, "N(INVALID_KE_PAYLOAD)"))
	p.deliver(p.wantSend("left asks again", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(ecp256), TSi, TSr"))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(ecp256), TSi, TSr"))
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.wantChild(p.left, "two")

	ref = p.left.rekey("lan") // made by IKE_AUTH, where nothing is learned of the peer's group
	p.deliver(p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "N(REKEY_SA), SA, Nonce, KE(x25519), TSi, TSr"))
	p.deliver(p.wantSend("right wants its group", p.right, wire.CreateChildSA, true, "N(INVALID_KE_PAYLOAD)"))
	p.deliver(p.wantSend("left asks again", p.left, wire.CreateChildSA, false, "N(REKEY_SA), SA, Nonce, KE(ecp256), TSi, TSr"))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(ecp256), TSi, TSr"))
	p.deliver(p.wantSend("left deletes the old one", p.left, wire.Informational, false, "D(ESP x1)"))
	p.deliver(p.wantSend("right deletes its half", p.right, wire.Informational, true, "D(ESP x1)"))
	p.drive(lingerPair + time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// RFC 7296, Section 1.3.2, with another group than the one that was offered first.
func TestIKERekeyCorrectsGroup(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Proposals = []wire.Proposal{withGroup(testIKEProposal, wire.GroupX25519), withGroup(testIKEProposal, wire.GroupECP256)}
		p.right.peers[0].Proposals = []wire.Proposal{withGroup(testIKEProposal, wire.GroupX25519), withGroup(testIKEProposal, wire.GroupECP256)}
	})
	p.up()
	// The right gets another opinion, as by an operator's reload with the tunnel up.
	p.right.e.peers.order[0].cfg.Proposals = []wire.Proposal{withGroup(testIKEProposal, wire.GroupECP256)}
	p.script(true)
	ref := p.left.rekey("")
	p.deliver(p.wantSend("left asks to rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)"))
	p.deliver(p.wantSend("right wants its group", p.right, wire.CreateChildSA, true, "N(INVALID_KE_PAYLOAD)"))
	p.deliver(p.wantSend("left asks again", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(ecp256)"))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(ecp256)"))
	p.deliver(p.wantSend("left deletes the old one", p.left, wire.Informational, false, "D(IKE)"))
	p.deliver(p.wantSend("right lets it go", p.right, wire.Informational, true, ""))
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// RFC 7296, Section 2.9: the packet's selectors come first, and the responder narrows to what both
// sides allow.
func TestTriggerAndNarrowing(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Children[0].Remote = testNetworks("10.0.0.0/8")
		p.right.peers[0].Children[0].Local = testNetworks("10.2.0.0/16")
	})
	flow := selector.Flow{Src: testNetworks("10.1.0.7/32")[0].Start, Dst: testNetworks("10.2.3.4/32")[0].Start, Protocol: 6, SrcPort: 40000, DstPort: 443}
	p.left.handle(Acquire{Policy: p.left.policy("lan"), Flow: flow})
	p.drive(2 * time.Second)
	p.wantTunnel()
	sa := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa
	if want := testNetworks("10.2.0.0/16"); !selector.Equal(sa.RemoteTS, want) {
		t.Errorf("remote selectors are %v, want %v", sa.RemoteTS, want)
	}
	p.left.rekey("lan")
	p.drive(10 * time.Second)
	p.wantTunnel()
	again := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa
	if !selector.Equal(again.RemoteTS, sa.RemoteTS) || again.SPIIn == sa.SPIIn {
		t.Errorf("after the rekeying the selectors are %v, want %v on another SPI", again.RemoteTS, sa.RemoteTS)
	}
}

// One negotiation for one policy, whatever the number of packets. A failure is reported, and the
// next try waits.
func TestAcquire(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Children[0].Local = testNetworks("10.9.0.0/16") })
	lan := p.left.policy("lan")
	for range 5 {
		p.left.handle(Acquire{Policy: lan, Flow: p.left.flow(lan)})
	}
	p.drive(time.Second)
	if n := p.left.requests(wire.IKESAInit); n != 1 {
		t.Errorf("%d IKE_SA_INIT requests, want 1", n)
	}
	if p.left.failed[lan] != 1 {
		t.Errorf("AcquireFailed %d times, want 1", p.left.failed[lan])
	}
	p.left.handle(Acquire{Policy: lan, Flow: p.left.flow(lan)})
	p.drive(100 * time.Millisecond)
	if n := p.left.requests(wire.CreateChildSA); n != 0 || p.left.failed[lan] != 2 {
		t.Errorf("%d CREATE_CHILD_SA requests before the pause is over, want none; AcquireFailed %d times, want 2", n, p.left.failed[lan])
	}
	p.drive(5 * time.Second)
	p.left.handle(Acquire{Policy: lan, Flow: p.left.flow(lan)})
	p.drive(time.Second)
	if n := p.left.requests(wire.CreateChildSA); n != 1 {
		t.Errorf("%d CREATE_CHILD_SA requests after the pause, want 1", n)
	}
	p.left.handle(Acquire{Policy: 99})
	if p.left.failed[99] != 1 {
		t.Error("no AcquireFailed for a policy that is not")
	}
}

// A child that is never to be started is not by traffic, but by command.
func TestStartNever(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartNever })
	p.left.traffic("lan")
	p.drive(time.Second)
	p.wantNoChild("lan")
	p.up()
	ref := p.left.disconnect("lan")
	p.drive(10 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantNoChild("lan")
	if st := p.left.e.Status()[0].Children[0]; st.State != ChildDown {
		t.Errorf("state %d, want down: %s", st.State, st.Reason)
	}
}

// RFC 7296, Section 1.3: NO_ADDITIONAL_SAS beyond the limit, with the others unharmed.
func TestChildLimit(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		twoChildren(p)
		p.right.config.Limits.MaxChildren = 1
	})
	ref := p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	ref = p.left.connect("two")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "NO_ADDITIONAL_SAS")
	p.wantChild(p.left, "lan")
}

// A pair that lingers after a rekeying is not sent on when its successor is deleted: the peer would
// not know the SPI.
func TestDownRightAfterRekey(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 1, nil)
		p.up()
		ref := p.left.rekey("lan")
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		if n := len(p.left.plane.ofPolicy(p.left.policy("lan"))); n != 2 {
			t.Fatalf("%d pairs after the rekeying, want the new one and the one that lingers", n)
		}
		ref = p.left.disconnect(child)
		p.drive(time.Second)
		p.wantDone(p.left, ref, "")
		for _, s := range []*testSide{p.left, p.right} {
			if n := len(s.plane.ofPolicy(s.policy("lan"))); n != 0 {
				t.Errorf("down %q: %s has %d pairs, want none", child, s.name, n)
			}
		}
		p.left.traffic("lan")
		p.drive(time.Second)
		p.wantTunnel()
	}
}

// TestReplacedPairIsDeletedByEitherSide: where the side that rekeyed does not delete the old pair,
// the other one does in the end.
func TestReplacedPairIsDeletedByEitherSide(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0
		p.left.config.Retry = window.RetransmitPlan{First: 5 * time.Minute, Factor: 1, Tries: 5}
	})
	p.up()
	old := p.right.e.pairs.Pair(1)
	p.link = func(pk *testPacket) []time.Duration { // left's Deletes are lost
		if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Exchange == wire.Informational && !pk.msg.hdr.Response {
			return nil
		}
		return []time.Duration{10 * time.Millisecond}
	}
	p.left.rekey("lan")
	p.drive(replacedLife - time.Second)
	if old.State() != child.Replaced {
		p.fatalf("the old pair is %v, want replaced", old.State())
	}
	p.drive(2 * time.Second)
	if old.State() != child.Lingering {
		p.fatalf("the old pair is %v after %v, want lingering", old.State(), replacedLife)
	}
	p.drive(lingerPair)
	if old.State() != child.Gone {
		p.fatalf("the old pair is %v, want gone", old.State())
	}
	p.wantSound()
}

// TestFirstUseOfThePeersPair: without a word of the peer on it, a pair that it asked for is sent on
// after 800 ms.
func TestFirstUseOfThePeersPair(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.scripted = true })
	p.left.connect("lan")
	p.deliver(p.wantSend("left begins", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	p.deliver(p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "..."))
	p.wantSend("right answers, which is lost", p.right, wire.IKEAuth, true, "...")
	p.drive(799 * time.Millisecond)
	if p.right.plane.senders() != 0 {
		p.fatalf("right sends too early")
	}
	p.drive(time.Millisecond)
	if p.right.plane.senders() != 1 {
		p.fatalf("right does not send after 800 ms")
	}
}
