package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// childlessLeft has left ask right for an IKE SA alone, and returns right's answer, which is lost.
func childlessLeft(t *testing.T, edit func(p *testPair)) (*attack, *testMessage) {
	a := newAttack(newPair(t, 1, edit))
	a.script(true)
	a.left.connect("")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
	m := a.wantSend("right answers", a.right, wire.IKESAInit, true, "..., N(CHILDLESS_IKEV2_SUPPORTED)")
	if n, _ := wire.FindNotify(m.payloads, wire.ChildlessIKEv2Supported); n.Protocol != wire.ProtoIKE || len(n.SPI)+len(n.Data) != 0 {
		t.Errorf("announced by %+v", n)
	}
	a.deliver(m)
	m = a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "...")
	keys, ps := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}], withoutChild(m.payloads)
	a.inject(a.right, a.left.home(), a.seal(keys, m.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
	return a, a.wantSend("right answers", a.right, wire.IKEAuth, true, "IDr, AUTH, V, V")
}

// withoutChild returns payloads without those of a Child SA.
func withoutChild(ps []wire.Payload) (list []wire.Payload) {
	for _, p := range ps {
		switch p.Type() {
		case wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr:
		default:
			list = append(list, p)
		}
	}
	return list
}

// TestChildless: a responder announces that it makes IKE SAs alone, and makes one. It answers with
// neither a Child SA nor an error, so that the peer keeps it. Child SAs follow by CREATE_CHILD_SA.
func TestChildless(t *testing.T) {
	a, m := childlessLeft(t, nil)
	if st := a.right.e.Status()[0]; st.State != PeerEstablished || st.Children[0].State != ChildWaiting {
		a.fatalf("after %v: state %v, child %v", m, st.State, st.Children[0].State)
	}
	a.wantNoChild("lan")
	offer, left := testESPProposal, testChild(a.left, "lan", 0)
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, 4}
	a.asPeer(a.right, wire.CreateChildSA, &wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, left.Local), wireTS(true, left.Remote))
	a.wantSend("right grants a Child SA", a.right, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr")
	if n := len(a.right.plane.ofPolicy(a.right.policy("lan"))); n != 1 {
		a.fatalf("%d Child SAs, want one", n)
	}
}

// TestChildlessIsUsed: a responder whose child should always be up asks for it on the IKE SA that
// the peer made alone.
func TestChildlessIsUsed(t *testing.T) {
	a, _ := childlessLeft(t, func(p *testPair) { p.right.peers[0].Children[0].Start = StartBoot; p.right.peers[0].Remote = nil })
	a.drive(5 * time.Second) // the peer may ask first
	a.wantSend("right asks for a Child SA", a.right, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr")
}
