package ike

import (
	"encoding/binary"
	"slices"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A simRefusal is a side of a simulation that refuses rekeyings for good, as minimal peers and
// those with other settings do.
type simRefusal struct {
	side     *testSide
	how      simRefusalKind
	sealer   *attack
	answered map[[2]wire.SPI]refusedRequest
}

// refusedRequest is the last request of an IKE SA that was refused.
type refusedRequest struct {
	id   uint32
	data []byte
}

// A simRefusalKind is a way to refuse. A peer that makes no Child SA but the first refuses the
// rekeying of the IKE SA as well (RFC 7296, Section 4).
type simRefusalKind struct {
	kind   wire.NotifyType
	all    bool // all of CREATE_CHILD_SA is refused; otherwise the rekeyings of Child SAs
	silent bool // it is not answered at all, though other exchanges are
}

// simRefusals are the ways to refuse: by a plain word, by asking for another group each time, or by
// not answering.
var (
	simRefusals = []simRefusalKind{{kind: wire.NoAdditionalSAs, all: true}, {kind: wire.NoProposalChosen}, {kind: wire.TSUnacceptable}}
	simCircles  = []simRefusalKind{{kind: wire.InvalidKEPayload}, {kind: wire.InvalidKEPayload, all: true}}
	simSilences = []simRefusalKind{{silent: true}, {silent: true, all: true}}
)

// deafLife returns how much longer SAs live where a side is silent: what is not answered takes two
// minutes until the IKE SA is given up at both ends.
func (s *simulation) deafLife() time.Duration {
	if s.deaf {
		return 4 * time.Minute
	}
	return 0
}

func (k simRefusalKind) String() string {
	text := k.kind.String()
	if k.silent {
		text = "silence"
	}
	if k.kind == wire.InvalidKEPayload {
		text += " in circles"
	}
	if k.all && k.kind != wire.NoAdditionalSAs {
		text += " to all"
	}
	return text
}

// configureRefusal makes one side refuse. The other one must be able to connect.
func (s *simulation) configureRefusal(p *testPair) {
	how := simRefusals[s.rand.IntN(len(simRefusals))]
	if s.more.Float64() < 0.6 {
		list := simCircles
		if !s.calm { // of three IKE SAs the sides may keep different ones, since a Delete cannot follow
			list = slices.Concat(list, simSilences)
		}
		how = list[s.more.IntN(len(list))]
	}
	s.what += ", " + how.String()
	s.deaf = how.silent
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
		if s.deaf { // no Delete can follow what is not answered
			peer.DPD = max(peer.DPD, 10*time.Second)
		}
		peer.Lifetime += s.deafLife()
		for i := range peer.Children {
			peer.Children[i].Lifetime += s.deafLife()
		}
	}
	s.alone = s.alone || how.all
	r := &simRefusal{side: side, how: how, sealer: &attack{testPair: p}, answered: map[[2]wire.SPI]refusedRequest{}}
	side.refuses = r.refuse
}

// refuse answers a request that is to be refused, in place of the engine, and reports whether it
// did.
func (r *simRefusal) refuse(pk *testPacket, from ipsec.Path) bool {
	h, m := pk.msg.hdr, pk.msg
	if h.Exchange != wire.CreateChildSA || h.Response || !m.opened || !r.concerns(m.payloads) || !slices.Equal(pk.data, m.pk.data) {
		return false
	}
	if r.how.silent {
		return true
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
		r.answered[id] = refusedRequest{h.MessageID, r.seal(h, m.payloads)}
	}
	h.Initiator, h.Response = !h.Initiator, true
	answer := &testMessage{from: r.side, at: r.side.p.now, hdr: h, protected: true, opened: true, payloads: r.words(m.payloads)}
	answer.pk = r.side.on(from, testPacket{msg: answer, data: r.answered[id].data})
	r.side.p.noteLazy(func() string { return r.side.name + " refuses > " + answer.String() })
	r.side.p.send(answer.pk)
	return true
}

// concerns reports whether a request is to be refused.
func (r *simRefusal) concerns(ps []wire.Payload) bool {
	n, rekeys := wire.FindNotify(ps, wire.RekeySA)
	return len(ps) > 0 && (r.how.all || rekeys && n.Protocol == wire.ProtoESP)
}

// words returns the refusal of a request with some payloads. INVALID_KE_PAYLOAD names a group that
// the request has no value for.
func (r *simRefusal) words(request []wire.Payload) []wire.Payload {
	n := &wire.Notify{Kind: r.how.kind}
	if n.Kind == wire.InvalidKEPayload {
		group := wire.GroupX25519
		if ke, _ := wire.Find[*wire.KE](request); ke != nil && ke.Group == group {
			group = wire.GroupECP256
		}
		n.Data = binary.BigEndian.AppendUint16(nil, uint16(group))
	}
	return []wire.Payload{n}
}

// seal makes the refusal of a request.
func (r *simRefusal) seal(h wire.Header, request []wire.Payload) []byte {
	keys := r.side.p.tap.sas[[2]wire.SPI{h.InitiatorSPI, h.ResponderSPI}]
	who := h.Initiator
	keys.answeredID[who] = max(keys.answeredID[who], h.MessageID+1)
	h.Initiator, h.Response = !h.Initiator, true
	ps := r.words(request)
	return r.sealer.seal(keys, h, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
}
