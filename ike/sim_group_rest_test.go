package ike

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// This file is the oracle of a life with several peers for the same networks.

const (
	simGroupPulse = 250 * time.Millisecond
	// simTakeover is within what time another peer answers that has been up for simReady.
	simTakeover = 5 * time.Second
	simReady    = time.Minute
	// simMostBursts is the limit of bursts in a second.
	simMostBursts = 100
)

// works reports whether packets of some networks can pass through a gate.
func (gr *simGroup) works(gate *simGate, child string) bool {
	l, left := &gr.link, gr.p.left
	held := slices.ContainsFunc(gate.holds, func(h simHold) bool { return h.child == "" || h.child == child })
	return !gr.leaving && l.drop == 0 && l.corrupt == 0 && !gate.cuts(child) && gate.gone == nil && !held && left.e != nil && gate.side.e != nil
}

// opened notes that a packet has passed, and has a peer answer it.
func (gr *simGroup) opened(at *testSide, name ipsec.PolicyName) {
	i := slices.IndexFunc(gr.nets, func(n *simNets) bool { return n.name == name.Child })
	if i < 0 {
		return
	}
	if n := gr.nets[i]; at == gr.p.left {
		n.answered = gr.p.now
	} else {
		n.arrived = gr.p.now
		at.plane.send(at.plane.policyNamed(name), 1)
	}
}

// matched returns the policy that left's packets match, or 0.
func (gr *simGroup) matched(n *simNets) ipsec.PolicyID {
	for _, p := range gr.p.left.peers {
		if id := gr.p.left.plane.policyNamed(ipsec.PolicyName{Peer: p.Name, Child: n.name}); id != 0 {
			return gr.p.left.plane.matched(id)
		}
	}
	return 0
}

// sendAll has left send a packet to all networks.
func (gr *simGroup) sendAll() {
	for _, n := range gr.nets {
		if id := gr.matched(n); id != 0 && gr.p.left.e != nil {
			gr.p.left.plane.send(id, 1)
		}
	}
}

// pulse sends, looks for silences, and checks the liveness of the networks.
func (gr *simGroup) pulse() {
	gr.sendAll()
	for _, s := range gr.p.sides() {
		gr.g.look(s)
	}
	if gr.leaving {
		return
	}
	if gr.talk {
		for _, gate := range gr.gates {
			if gate.side.e != nil {
				gate.side.plane.sendUnasked()
			}
		}
	}
	for i, gate := range gr.gates {
		for _, n := range gr.nets {
			gr.callLeft(gate, n)
			ours := ipsec.PolicyName{Peer: gate.side.name, Child: n.name}
			theirs := ipsec.PolicyName{Peer: "left", Child: n.name}
			if !gr.works(gate, n.name) {
				gate.since = gr.p.now
			}
			if !gr.works(gate, n.name) || !gr.p.left.sendsOn(ours) || !gate.side.sendsOn(theirs) {
				n.ready[i] = gr.p.now
			}
		}
	}
	for _, n := range gr.nets {
		gr.checkLiveness(n)
	}
	gr.p.events.add(gr.p.now.Add(simGroupPulse), gr.pulse)
}

// callLeft has the peer send a packet that left cannot connect to, and has no SA with: the hosts
// behind it want the tunnel, and nobody else may find out that left has lost it.
func (gr *simGroup) callLeft(gate *simGate, n *simNets) {
	i := gr.entry(gate.side.name)
	if i < 0 || len(gr.p.left.peers[i].Remote) > 0 || gate.side.e == nil {
		return
	}
	name, ours := ipsec.PolicyName{Peer: "left", Child: n.name}, ipsec.PolicyName{Peer: gate.side.name, Child: n.name}
	if !gate.side.sendsOn(name) || len(gr.p.left.plane.ofPolicy(gr.p.left.plane.policyNamed(ours))) == 0 {
		gate.side.plane.send(gate.side.plane.policyNamed(name), 1)
	}
}

// sendsOn reports whether a policy of a side has an SA to send on.
func (s *testSide) sendsOn(name ipsec.PolicyName) bool {
	id := s.plane.policyNamed(name)
	return id != 0 && s.plane.sender(id, 1) != nil
}

func (gr *simGroup) checkLiveness(n *simNets) {
	now := gr.p.now
	worked, ready := now, now
	for i, gate := range gr.gates {
		if gate.since.Before(worked) {
			worked = gate.since
		}
		if n.ready[i].Before(ready) {
			ready = n.ready[i]
		}
	}
	passed := n.answered
	if n.arrived.Before(passed) {
		passed = n.arrived
	}
	gap := now.Sub(later(worked, passed))
	quick := now.Sub(ready) > simReady && now.Sub(passed) > simTakeover+2*gr.link.delay+2*gr.link.jitter
	if gap > simPatience || quick {
		gr.p.violated("no packet of %s was answered for %v, though a peer has worked for %v, and been ready for %v", n.name, now.Sub(passed), now.Sub(worked), now.Sub(ready))
		n.arrived, n.answered = now, now
	}
}

// watch is called after each Handle.
func (gr *simGroup) watch(of *testSide) {
	gr.simulation.watch(of)
	if of != gr.p.left || of.stopped || gr.leaving {
		return
	}
	for _, n := range gr.nets {
		var active []string
		for _, p := range of.peers {
			if id := of.plane.policyNamed(ipsec.PolicyName{Peer: p.Name, Child: n.name}); id != 0 && !of.plane.standby[id] {
				active = append(active, p.Name)
			}
		}
		// There is none between a plan that removes it and the change.
		if len(active) > 1 {
			gr.p.violated("active for %s: %q", n.name, active)
		}
		up := of.plane.sender(gr.matched(n), 1) != nil
		if n.up && !up && gr.calm {
			gr.p.violated("there is no SA for %s, which was up", n.name)
		}
		n.up = up
	}
}

// burst sends a packet each way: from left, and on every SA of the peers. A packet may be followed
// by another Handle, so bursts have a limit.
func (gr *simGroup) burst() {
	if second := gr.p.now.Truncate(time.Second); second != gr.second {
		gr.second, gr.bursts = second, 0
	}
	if gr.bursts++; gr.bursts > simMostBursts {
		return
	}
	for _, n := range gr.nets {
		if left := gr.p.left; left.e != nil && left.plane.sender(gr.matched(n), 1) != nil {
			left.plane.send(gr.matched(n), 1)
		}
	}
	for _, gate := range gr.gates {
		for _, n := range gr.nets {
			gr.sendDummy(gate, n)
		}
	}
}

// sendDummy has a peer send a packet without content, if it can.
func (gr *simGroup) sendDummy(gate *simGate, n *simNets) {
	if name := (ipsec.PolicyName{Peer: "left", Child: n.name}); gate.side.e != nil && !gate.cuts(n.name) && gate.side.sendsOn(name) {
		psa := gate.side.plane.sender(gate.side.plane.policyNamed(name), 1)
		e := gate.side.packet(psa)
		e.dummy = true
		gr.p.send(gate.side.on(psa.sa.Path, testPacket{esp: e}))
	}
}

// heal ends all trouble but that of one gate at most, and waits until the best of the others is
// active.
func (gr *simGroup) heal() error {
	p := gr.p
	gr.link.drop, gr.link.corrupt, gr.link.dup = 0, 0, 0
	gr.startLeft()
	for _, gate := range gr.gates {
		gr.mend(gate)
	}
	var broken *simGate
	if !gr.calm && gr.chance(0.5) {
		broken = gr.gates[gr.rand.IntN(len(gr.gates))]
		// Where ESP alone is dropped, only packets that were answered before can show it.
		gr.fail(broken, simCutsIKE)
	}
	gr.raise(broken)
	p.note("--- the trouble is over")
	var why string
	calmFor := 0
	for range 8 * 60 {
		p.drive(time.Second)
		if err := gr.sound(); err != nil {
			return err
		}
		if why = gr.unrest(broken); why != "" {
			calmFor = 0
		} else if calmFor++; calmFor == 3 {
			return gr.flows(broken)
		}
	}
	return fmt.Errorf("8 minutes after the trouble: %s", why)
}

// raise brings up what left has taken down once, and leaves down while another peer works.
func (gr *simGroup) raise(broken *simGate) {
	left := gr.p.left
	for _, tu := range gr.tunnels {
		e := &tu.ends[0]
		g := left.e.standby.of[e.policy()]
		if g == nil || broken != nil && broken.side.name == e.target && !gr.works(broken, e.name.Child) {
			continue
		}
		if pol := left.e.policies.byID[e.policy()]; pol != nil && g.member(pol).dismissed {
			left.handle(Connect{Peer: e.target, Child: e.name.Child, Ref: left.ref()})
		}
	}
}

// unrest says what is not as it should be when nothing is going on.
func (gr *simGroup) unrest(broken *simGate) string {
	for _, n := range gr.nets {
		var best *Peer
		for i := range gr.p.left.peers {
			peer := &gr.p.left.peers[i]
			if fit := broken == nil || peer.Name != broken.side.name || gr.works(broken, n.name); fit && (best == nil || peer.Priority < best.Priority) {
				best = peer
			}
		}
		id := gr.matched(n)
		if at := gr.p.left.plane.spd[id].Name.Peer; at != best.Name || gr.p.left.plane.standby[id] {
			return fmt.Sprintf("packets of %s go through %s, and not %s", n.name, at, best.Name)
		}
		if gr.p.left.plane.sender(id, 1) == nil { // the peer may be the one that calls
			return fmt.Sprintf("there is no SA for %s", n.name)
		}
	}
	for _, tu := range gr.tunnels {
		mine := &tu.ends[0]
		if broken != nil && mine.target == broken.side.name || len(mine.sas())+len(tu.ends[1].sas()) == 0 && !gr.mustBeUp(mine) {
			continue
		}
		if why := mine.unrest(&tu.ends[1], 0, 1); why != "" {
			return why
		}
	}
	if why := gr.waits(broken); why != "" {
		return why
	}
	if broken != nil {
		return ""
	}
	for _, side := range gr.p.sides() {
		for ref := uint64(1); ref <= side.nextRef; ref++ {
			if !side.answered[ref] {
				return fmt.Sprintf("%s has not answered command %d", side.name, ref)
			}
		}
		if n := len(side.plane.allocated) + side.e.sas.halfOpen.Count() + len(side.e.jobs.waiting); n != 0 {
			return fmt.Sprintf("%s has %d SPIs, half-open IKE SAs and computations", side.name, n)
		}
		if n := len(side.e.sas.bySPI); n > len(side.peers) {
			return fmt.Sprintf("%s has %d IKE SAs", side.name, n)
		}
	}
	return ""
}

// waits says which side waits for an answer, but for those to and of a broken gate. A Delete of the
// peers' may be what waits: packets on its Child SA are lost once left has handled it.
func (gr *simGroup) waits(broken *simGate) string {
	for _, side := range gr.p.sides() {
		if side.e == nil || broken != nil && side == broken.side {
			continue
		}
		for _, sa := range side.e.sas.bySPI {
			if sa.win.Outstanding() == nil {
				continue
			}
			if broken == nil || sa.party != nil && sa.party.cfg.Name != broken.side.name {
				return fmt.Sprintf("%s waits for the answer to %v", side.name, sa.win.Outstanding().Exchange)
			}
		}
	}
	return ""
}

// TestGroupWaitsForItsPeers: there is no rest while the Delete of a peer is not answered, unless
// its gate is broken.
func TestGroupWaitsForItsPeers(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	gr := &simGroup{simulation: &simulation{p: p}}
	if why := gr.waits(nil); why != "" {
		p.fatalf("at rest: %s", why)
	}
	p.link = func(*testPacket) []time.Duration { return nil }
	p.right.handle(Expire{ID: p.right.main().children.Pairs()[0].SA.ID, Hard: true})
	if got, want := gr.waits(nil), "right waits for the answer to INFORMATIONAL"; got != want {
		p.fatalf("%q, want %q", got, want)
	}
	if why := gr.waits(&simGate{side: p.right}); why != "" {
		p.fatalf("where that is broken: %s", why)
	}
}

// mustBeUp reports whether left keeps a child up that is not active.
func (gr *simGroup) mustBeUp(e *simEnd) bool {
	pol := gr.p.left.e.policies.byID[e.policy()]
	return pol == nil || pol.Wanted()
}

// flows checks that each packet is answered, and that none is lost but those of a broken gate, and
// dummies to it: probes, which ask whether it works again, and answers to its own.
func (gr *simGroup) flows(broken *simGate) error {
	before, sent := len(gr.p.lost), 0
	opened, answers := gr.p.opened, 0
	gr.p.opened = func(at *testSide, name ipsec.PolicyName) {
		if opened(at, name); at == gr.p.left && name.Child != "extra" {
			answers++
		}
	}
	for range 4 {
		gr.sendAll()
		sent += len(gr.nets)
	}
	gr.p.drive(simGroupPulse * 9)
	gr.p.opened = opened
	lost := slices.DeleteFunc(slices.Clone(gr.p.lost[before:]), func(l lostPacket) bool { return broken != nil && (l.from == broken.side || l.dummy) })
	if len(lost) > 0 || answers < sent {
		return fmt.Errorf("at rest, %d packets are lost, and %d of at least %d answered", len(lost), answers, sent)
	}
	return gr.sound()
}

// farewell shuts the sides down, one after another: nothing may stay.
func (gr *simGroup) farewell() error {
	gr.leaving, gr.calm = true, false
	sides := gr.p.sides()
	for _, i := range gr.rand.Perm(len(sides)) {
		if sides[i].e == nil {
			sides[i].start()
		}
		sides[i].handle(Shutdown{})
		gr.p.drive(3 * time.Minute)
		if !sides[i].stopped {
			return fmt.Errorf("%s does not end after Shutdown", sides[i].name)
		}
		if left := sides[i].leftovers(); left != "" {
			return fmt.Errorf("after Shutdown %s", left)
		}
	}
	return gr.sound()
}
