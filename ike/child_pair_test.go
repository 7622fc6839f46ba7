package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
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
	p.left.handle(Acquire{Policy: 98, Resource: 1})
	if p.left.failed[98] != 0 {
		t.Error("AcquireFailed for a resource, whose packets another SA carries")
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
