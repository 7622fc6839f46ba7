package ike

import (
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// This file is the oracle of hints in a life with several peers for the same networks. A hint is
// what simHint says, and concerns one peer. Where it comes to left, packets of some networks go
// through that peer, and they do not arrive there: it was restarted, or it is dead, cut off or held
// down. They are answered again, by whichever peer, within
//
//	simHinted     if the peer works and left can connect to it: it is asked, and connected to
//	simHinted     if another one works that has been up for simSettled, as it takes over
//	simHinted     and simDeadAddress for each further address, if another one has worked for
//	              simPatience that left can connect to: it has to be brought up first
//
// with simHintedTrips. Where a peer gets the hint that left was restarted, packets pass both ways
// within the first of these. That the peer of the hint is still heard changes nothing, as what it
// sends does not show that packets arrive there. One case has no bound here, and that of
// checkLiveness holds: a peer that only calls was restarted and is the only one. Left has no
// address of it, so all that it can do is to end what the peer has lost. When the peer calls
// depends on its start and on what its hosts send, and nothing that left sends can hasten it.

const (
	// simSettled is for how long a peer must have been up: one that failed is not trusted before it
	// answers the request that it left unanswered, whose longest pause takes 34 s and jitter.
	simSettled = 40 * time.Second
	// simDeadAddress is how long IKE_SA_INIT is repeated to one of several addresses, with jitter.
	simDeadAddress = 13500 * time.Millisecond
)

// By whom packets pass again.
const (
	simSamePeer  = "the same peer"
	simReadyPeer = "another peer"
	simBroughtUp = "another peer, brought up"
)

// A simPromise is that packets of some networks pass again after a hint, through one peer if no
// other is faster.
type simPromise struct {
	what  string    // the hint
	to    *simEnd   // which got it
	at    time.Time // when
	n     *simNets
	by    string
	gate  *simGate
	end   *simEnd   // which can connect; nil: the gate is up
	since time.Time // of the gate then
	ready time.Time // of the networks at the gate then
	fails int       // of the gate then
	lives [2]int    // of left and the gate then
}

// hinted handles a hint that has come to an end of a tunnel.
func (gr *simGroup) hinted(what string, tu *simTunnel, e *simEnd) {
	i := slices.IndexFunc(gr.gates, func(g *simGate) bool { return g.side == tu.ends[1].side })
	j := slices.IndexFunc(gr.nets, func(n *simNets) bool { return n.name == e.name.Child })
	if i < 0 || j < 0 || gr.p.left.e == nil || e.side.e == nil || !gr.missed(gr.gates[i], gr.nets[j], tu, e) {
		return
	}
	gr.p.note("--- a hint for %s that packets of %s do not reach %s: %s", e.side.name, e.name.Child, tu.other(e).side.name, what)
	h := simPromise{what: what, n: gr.nets[j], to: e, at: gr.p.now}
	if gate := gr.gates[i]; gr.works(gate, h.n.name) && gr.connects(e) {
		h.by, h.end = simSamePeer, e
		gr.promise(h, gate, simHinted)
	}
	if e.side != gr.p.left {
		return
	}
	for k, gate := range gr.gates {
		if k == i || !gr.works(gate, h.n.name) {
			continue
		}
		o := gr.endOf(gate, h.n)
		switch {
		case gr.p.now.Sub(h.n.ready[k]) > simSettled:
			h.by, h.end = simReadyPeer, nil
			gr.promise(h, gate, simHinted)
		case gr.p.now.Sub(gate.since) > simPatience && gr.connects(o):
			peer, _ := o.settings()
			h.by, h.end = simBroughtUp, o
			gr.promise(h, gate, simHinted+time.Duration(len(peer.Remote)-1)*simDeadAddress)
		}
	}
}

// missed reports whether packets that an end sends are missed at the other one. Left sends through
// one peer, and the hint may be about another one.
func (gr *simGroup) missed(gate *simGate, n *simNets, tu *simTunnel, e *simEnd) bool {
	id := e.policy()
	if id == 0 || e.side == gr.p.left && gr.matched(n) != id {
		return false
	}
	psa, to := e.side.plane.sender(id, 1), tu.other(e).side
	return psa != nil && e.side.live(psa) && (!to.plane.known[psa.sa.SPIOut] || e.side == gr.p.left && !gr.works(gate, n.name))
}

// connects reports whether an end can connect to the other one.
func (gr *simGroup) connects(e *simEnd) bool {
	if e.side == gr.p.left {
		if e.peer = gr.entry(e.target); e.peer < 0 {
			return false
		}
	}
	return gr.reaches(e)
}

// endOf returns left's end of the tunnel of some networks to a gate.
func (gr *simGroup) endOf(gate *simGate, n *simNets) *simEnd {
	i := slices.IndexFunc(gr.tunnels, func(tu *simTunnel) bool { return tu.ends[1].side == gate.side && tu.ends[0].name.Child == n.name })
	return &gr.tunnels[i].ends[0]
}

// promise has packets pass again within a time. Left sends all the time; a peer that got the hint
// sends until then.
func (gr *simGroup) promise(h simPromise, gate *simGate, within time.Duration) {
	h.gate, h.since, h.fails, h.lives = gate, gate.since, gate.fails, [2]int{gr.p.left.life, gate.side.life}
	h.ready = h.n.ready[slices.Index(gr.gates, gate)]
	most := within + simHintedTrips*(gr.link.delay+gr.link.jitter)
	for d := simHintedPulse; h.to.side != gr.p.left && d < most; d += simHintedPulse {
		gr.p.events.add(h.at.Add(d), func() { gr.sendFrom(gate, h.n) })
	}
	gr.p.events.add(h.at.Add(most), func() { gr.wantKept(&h) })
}

// sendFrom has a peer send a packet without content, or ask for an SA: the hosts behind it want the
// tunnel.
func (gr *simGroup) sendFrom(gate *simGate, n *simNets) {
	if name := (ipsec.PolicyName{Peer: "left", Child: n.name}); gate.side.e != nil && !gate.side.sendsOn(name) {
		gate.side.plane.send(gate.side.plane.policyNamed(name), 1)
	}
	gr.sendDummy(gate, n)
}

// wantKept checks a promise, unless something has happened to the peer that it depends on.
func (gr *simGroup) wantKept(h *simPromise) {
	if !gr.depends(h) {
		return
	}
	took, left := gr.p.now.Sub(h.at), gr.p.left
	since := h.at.Add(gr.link.delay + gr.link.jitter) // what comes before may have been under way
	switch {
	case h.to.side != left && gr.heard(gr.endOf(h.gate, h.n)).Before(h.at):
		gr.p.violated("nothing of %s came from %s within %v of a hint for it, %s, that left has lost its SAs", h.n.name, h.gate.side.name, took, h.what)
	case h.n.arrived.After(since) && h.n.answered.After(since):
		gr.hints.count[h.what+", "+h.by]++
	default:
		gr.p.violated("no packet of %s was answered within %v of a hint for %s, %s, though %s would do: %s", h.n.name, took, h.to.side.name, h.what, h.gate.side.name, h.by)
	}
}

// depends reports whether the peer of a promise is as it was when the hint came.
func (gr *simGroup) depends(h *simPromise) bool {
	gate := h.gate
	if !gr.works(gate, h.n.name) || gate.fails != h.fails || !gate.since.Equal(h.since) || h.lives != [2]int{gr.p.left.life, gate.side.life} {
		return false
	}
	if h.end != nil {
		return gr.connects(h.end)
	}
	return h.n.ready[slices.Index(gr.gates, gate)].Equal(h.ready)
}

// heard returns when ESP last came on the SAs of an end.
func (gr *simGroup) heard(e *simEnd) (last time.Time) {
	for _, psa := range e.sas() {
		last = later(last, psa.lastIn)
	}
	return last
}
