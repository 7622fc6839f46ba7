package ike

import (
	"slices"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A simRefusal is a side of a simulation that refuses rekeyings for good, as minimal peers and
// those with other settings do.
type simRefusal struct {
	side     *testSide
	kind     wire.NotifyType
	all      bool // all of CREATE_CHILD_SA is refused; otherwise the rekeyings of Child SAs
	sealer   *attack
	answered map[[2]wire.SPI]refusedRequest
}

// refusedRequest is the last request of an IKE SA that was refused.
type refusedRequest struct {
	id   uint32
	data []byte
}

// simRefusals are the ways to refuse. A peer that makes no Child SA but the first refuses the
// rekeying of the IKE SA as well (RFC 7296, Section 4).
var simRefusals = []struct {
	kind wire.NotifyType
	all  bool
}{{wire.NoAdditionalSAs, true}, {wire.NoProposalChosen, false}, {wire.TSUnacceptable, false}}

// configureRefusal makes one side refuse. The other one must be able to connect.
func (s *simulation) configureRefusal(p *testPair) {
	how := simRefusals[s.rand.IntN(len(simRefusals))]
	s.what += ", " + how.kind.String()
	side := p.right
	if len(p.right.peers[0].Remote) > 0 && s.chance(0.5) {
		side = p.left
	}
	for _, each := range []*testSide{p.left, p.right} {
		peer := &each.peers[0]
		peer.Fragment, peer.Proposals = 0, []wire.Proposal{testIKEProposal}
		if how.all {
			peer.Children = peer.Children[:1]
		}
	}
	s.alone = s.alone || how.all
	r := &simRefusal{side: side, kind: how.kind, all: how.all, sealer: &attack{testPair: p}, answered: map[[2]wire.SPI]refusedRequest{}}
	side.refuses = r.refuse
}

// refuse answers a request that is to be refused, in place of the engine, and reports whether it
// did.
func (r *simRefusal) refuse(pk *testPacket, from ipsec.Path) bool {
	h, m := pk.msg.hdr, pk.msg
	if h.Exchange != wire.CreateChildSA || h.Response || !m.opened || !r.concerns(m.payloads) || !slices.Equal(pk.data, m.pk.data) {
		return false
	}
	id := [2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}
	s := r.side.e.lookup(h)
	if s == nil {
		return false
	}
	if last, ok := r.answered[id]; !ok || last.id != h.MessageID {
		if s.win.ExpectedID() != h.MessageID || s.win.Pending() {
			return false
		}
		st := s.win.State()
		st.Expected++
		s.win.Restore(st)
		r.answered[id] = refusedRequest{h.MessageID, r.seal(h)}
	}
	h.Initiator, h.Response = !h.Initiator, true
	answer := &testMessage{from: r.side, at: r.side.p.now, hdr: h, protected: true, opened: true, payloads: []wire.Payload{&wire.Notify{Kind: r.kind}}}
	answer.pk = r.side.on(from, testPacket{msg: answer, data: r.answered[id].data})
	r.side.p.noteLazy(func() string { return r.side.name + " refuses > " + answer.String() })
	r.side.p.send(answer.pk)
	return true
}

// concerns reports whether a request is to be refused.
func (r *simRefusal) concerns(ps []wire.Payload) bool {
	n, rekeys := wire.FindNotify(ps, wire.RekeySA)
	return len(ps) > 0 && (r.all || rekeys && n.Protocol == wire.ProtoESP)
}

// seal makes the refusal of a request.
func (r *simRefusal) seal(h wire.Header) []byte {
	keys := r.side.p.tap.sas[[2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}]
	who := h.Initiator
	keys.answeredID[who] = max(keys.answeredID[who], h.MessageID+1)
	h.Initiator, h.Response = !h.Initiator, true
	ps := []wire.Payload{&wire.Notify{Kind: r.kind}}
	return r.sealer.seal(keys, h, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
}
