package ike

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// simGroupEvery is how many seeds there are for each life of a gateway with several peers for the
// same networks.
const simGroupEvery = 11

// A simGroup is what a life of a gateway, left, with several peers for the same networks has in
// addition. Left sends what its SPD says, and the peer that receives a packet answers it.
type simGroup struct {
	*simulation
	g     *testGroup // finds the silences, as the dataplanes do
	gates []*simGate
	nets  []*simNets
	talk  bool // the hosts of the peers send unasked as well

	second time.Time // in which
	bursts int       // how many there were in it
}

// A simGate is one of the peers.
type simGate struct {
	side  *testSide
	since time.Time              // it has worked since then without a break
	cut   func(*testPacket) bool // what the link to it drops; nil: nothing
	child string                 // of whose ESP alone it drops some
	holds []simHold
	gone  *Peer // left's entry, while a reload has removed it
	fails int   // how often it has failed or was mended
}

// A simHold is something of a peer that an operator holds down.
type simHold struct {
	at          *testSide
	peer, child string
}

// A simNets is the networks of one child of each peer.
type simNets struct {
	name              string
	arrived, answered time.Time   // the last packet at a peer, and at left
	ready             []time.Time // since when each gate has an SA at both ends, and works
	up                bool        // in this life of left
}

func newGroupSimulation(t testing.TB, s *simulation, seed uint64) {
	gr := &simGroup{simulation: s}
	s.group = gr
	s.p = newPair(t, seed, gr.configure)
	s.p.opened, s.p.before, s.p.after = gr.opened, s.sign, gr.watch
	s.p.events.add(s.p.now, gr.pulse)
}

func (gr *simGroup) configure(p *testPair) {
	gr.p, p.link = p, gr.fate
	p.compute = func() time.Duration { return gr.between(0, 20*time.Millisecond) }
	gr.link.delay, gr.link.jitter = gr.between(time.Millisecond, 80*time.Millisecond), gr.between(0, 200*time.Millisecond)
	n := 2 + gr.rand.IntN(2)
	gr.what = fmt.Sprintf("%s, %d peers for the same networks", map[bool]string{false: "rough", true: "calm"}[gr.calm], n)
	sides := []*testSide{p.right}
	for i := 2; i <= n; i++ {
		sides = append(sides, newSide(p, fmt.Sprintf("spare%d", i), fmt.Sprintf("192.0.2.%d", 10*i), fmt.Sprintf("2001:db8::%d0", i)))
	}
	p.more = sides[1:]
	if gr.chance(0.2) {
		gr.what += ", NAT"
		p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1"))
	} else if gr.chance(0.2) {
		gr.what += ", IPv6"
		gr.sixes = true
	}
	for i := range 1 + gr.rand.IntN(2) {
		gr.nets = append(gr.nets, &simNets{name: string(rune('a' + i))})
	}
	p.left.peers = nil
	for i, priority := range gr.rand.Perm(n) {
		gr.addGate(sides[i], 1+priority)
	}
	if gr.calm {
		gr.link.dup = 0.05
	}
	if p.seed%2 == 0 {
		gr.what += ", crash tokens"
		withTokens(p)
	}
	gr.g = &testGroup{testPair: p, gateways: sides, looks: map[*testSide]*planeLooks{}}
	if rand.New(seededRand(p.seed, "unasked")).Float64() < 0.4 {
		gr.what += ", unasked"
		gr.talk = true
	}
}

// addGate adds a peer with a priority.
func (gr *simGroup) addGate(side *testSide, priority int) {
	left := gr.p.left
	ours, theirs := defaultPeer(left, side), defaultPeer(side, left)
	if gr.sixes {
		ours.Local, ours.Remote, theirs.Local, theirs.Remote = left.addrs[1], side.addrs[1:], side.addrs[1], left.addrs[1:]
	}
	gr.configureIKE(&ours, &theirs)
	if gr.childless.Float64() < 0.2 {
		ours.Childless, theirs.Childless = gr.drawChildless(), gr.drawChildless()
	}
	ours.Priority, ours.DPDAction = priority, []DPDAction{DPDRestart, DPDTrap}[gr.rand.IntN(2)]
	theirs.DPDAction = ours.DPDAction
	ours.Children, theirs.Children = nil, nil
	calls := false
	switch {
	case left.nat != nil:
		ours.Encap, theirs.Encap, theirs.Remote = EncapAuto, EncapAuto, nil
	case len(theirs.Remote) > 0 && gr.chance(0.2):
		ours.Remote, calls = nil, true
	}
	for i, n := range gr.nets {
		c := testChild(left, n.name, i)
		c.Proposals, c.Lifetime = gr.drawPFS(testESPProposal), gr.between(2*time.Minute, 8*time.Minute)
		d := c
		d.Local, d.Remote = c.Remote, c.Local
		c.Start, d.Start = []StartMode{StartBoot, StartTraffic}[gr.rand.IntN(2)], StartMode(gr.rand.IntN(3))
		if calls {
			d.Start = StartBoot
		}
		ours.Children, theirs.Children = append(ours.Children, c), append(theirs.Children, d)
		at, of := ipsec.PolicyName{Peer: ours.Name, Child: n.name}, ipsec.PolicyName{Peer: theirs.Name, Child: n.name}
		gr.tunnels = append(gr.tunnels, &simTunnel{ends: [2]simEnd{
			{side: left, peer: len(left.peers), target: ours.Name, name: at}, {side: side, target: theirs.Name, name: of},
		}})
	}
	for _, n := range gr.nets {
		n.arrived, n.answered, n.ready = gr.p.now, gr.p.now, append(n.ready, gr.p.now)
	}
	left.peers, side.peers = append(left.peers, ours), []Peer{theirs}
	gr.gates = append(gr.gates, &simGate{side: side, since: gr.p.now})
}

// fate is what the link does with one packet: a gate may be cut off.
func (gr *simGroup) fate(pk *testPacket) []time.Duration {
	for _, gate := range gr.gates {
		if gate.cut != nil && (pk.from == gate.side || slices.Contains(gate.side.addrs, pk.dst.Addr())) && gate.cut(pk) {
			return nil
		}
	}
	return gr.simulation.fate(pk)
}

// run is the life.
func (gr *simGroup) run() error {
	for range gr.phases() {
		gr.trouble()
		if err := gr.heal(); err != nil {
			return err
		}
	}
	return gr.farewell()
}

func (gr *simGroup) trouble() {
	p, weather := gr.p, gr.chance(0.3)
	for end := p.now.Add(gr.between(5*time.Minute, 20*time.Minute)); p.now.Before(end) && len(p.broken) == 0; {
		p.drive(gr.between(100*time.Millisecond, 20*time.Second))
		if gr.obstacles != nil && gr.more.Float64() < 0.1 {
			gr.obstacles.forge()
		}
		tu := gr.tunnels[gr.rand.IntN(len(gr.tunnels))]
		e := &tu.ends[gr.rand.IntN(2)]
		switch {
		case gr.chance(0.1):
			gr.command(e)
		case gr.chance(0.03):
			gr.swap()
		case gr.calm:
		case gr.chance(0.1):
			gr.mishap(gr.gates[gr.rand.IntN(len(gr.gates))])
		case weather && gr.chance(0.05):
			gr.drawWeather()
		}
	}
}

// command is something that operators or limits do.
func (gr *simGroup) command(e *simEnd) {
	if e.side.e == nil || e.policy() == 0 {
		return
	}
	switch kind := gr.rand.IntN(7); {
	case kind <= 1:
		e.side.handle(Rekey{Peer: e.target, Child: e.name.Child, Ref: e.side.ref()})
	case kind == 2:
		e.side.handle(Rekey{Peer: e.target, Ref: e.side.ref()})
	case kind == 3:
		gr.expire(e, false)
	case kind == 4 && !gr.calm:
		gr.disturb(e)
		gr.expire(e, true)
	case kind == 5 && !gr.calm && !gr.calls(e): // it would stay down
		gr.disturb(e)
		e.side.handle(Disconnect{Peer: e.target, Child: []string{"", e.name.Child}[gr.rand.IntN(2)], Once: true, Ref: e.side.ref()})
	default:
		gr.reload(e)
	}
}

// calls reports whether left waits for the calls of the peer at an end of a tunnel.
func (gr *simGroup) calls(e *simEnd) bool {
	i := gr.entry(gr.tunnelOf(e).ends[0].target)
	return i < 0 || len(gr.p.left.peers[i].Remote) == 0
}

// simGroupLeaves are the settings that decide which policies are a group, and whose both ends a
// reload of such a life would have to name.
var simGroupLeaves = []string{"Priority", "LocalID", "RemoteID", "child Local", "child Remote"}

// reload changes a setting of left or of a peer.
func (gr *simGroup) reload(e *simEnd) {
	list := slices.DeleteFunc(allSimEdits(), func(x simEdit) bool {
		return slices.Contains(simGroupLeaves, x.field) || x.rough && gr.calm
	})
	x := list[gr.rand.IntN(len(list))]
	other := gr.tunnelOf(e).other(e)
	gr.edit(e, &x)
	if x.both {
		gr.p.events.add(gr.p.now.Add(gr.between(0, 10*time.Second)), func() { gr.edit(other, &x) })
	}
}

// edit applies a change, if left has the peer now.
func (gr *simGroup) edit(e *simEnd, x *simEdit) {
	if e.side == gr.p.left {
		if e.peer = gr.entry(e.target); e.peer < 0 {
			return
		}
	}
	if x.rough {
		gr.disturb(e)
	}
	gr.apply(e, x)
}

// disturb notes that something is done that may interrupt what passes through a gate.
func (gr *simGroup) disturb(e *simEnd) {
	for i, gate := range gr.gates {
		if at := gr.tunnelOf(e).ends[1].side; gate.side == at {
			gate.since = gr.p.now
			for _, n := range gr.nets {
				n.ready[i] = gr.p.now
			}
		}
	}
}

// entry returns where left has a peer, or -1.
func (gr *simGroup) entry(name string) int {
	return slices.IndexFunc(gr.p.left.peers, func(p Peer) bool { return p.Name == name })
}

// swap gives left's peers other priorities, or another order.
func (gr *simGroup) swap() {
	list := slices.Clone(gr.p.left.peers)
	for i, priority := range gr.rand.Perm(len(list)) {
		list[i].Priority = 1 + 10*priority
	}
	if gr.chance(0.5) {
		slices.Reverse(list)
	}
	gr.setPeers(list)
}

// setPeers reloads left with other peers.
func (gr *simGroup) setPeers(list []Peer) {
	left := gr.p.left
	left.peers = list
	gr.p.note("--- left reloads its peers")
	left.handle(PlanPeers{Set: list, Whole: true})
	left.handle(SetPeers{Peers: slices.Clone(list)})
}

// drawCut has the link to a gate drop something.
func (gr *simGroup) drawCut(gate *simGate, kinds int) {
	kind := gr.rand.IntN(kinds)
	from := func(pk *testPacket) bool { return pk.from == gate.side }
	gate.child = ""
	ofChild := func(pk *testPacket) bool { return onlyESP(pk) && pk.from.childOf(pk.esp) == gate.child }
	gate.cut = []func(*testPacket) bool{
		anything, onlyIKE, from, onlyESP,
		func(pk *testPacket) bool { return onlyESP(pk) && from(pk) },
		func(pk *testPacket) bool { return onlyESP(pk) && !from(pk) },
		ofChild,
		func(pk *testPacket) bool { return ofChild(pk) && from(pk) },
		func(pk *testPacket) bool { return ofChild(pk) && !from(pk) },
	}[kind]
	if kind >= simCutsOfPeer {
		gate.child = gr.nets[gr.rand.IntN(len(gr.nets))].name
	}
	gr.p.note("--- %s is cut off, kind %d %s", gate.side.name, kind, gate.child)
}

// The first of the kinds of cuts drop IKE as well, the next ESP alone, the last that of a child.
const (
	simCutsIKE    = 3
	simCutsOfPeer = 6
	simCuts       = 9
)

// cuts reports whether the link to the gate drops something that a child needs.
func (gate *simGate) cuts(child string) bool {
	return gate.cut != nil && (gate.child == "" || gate.child == child)
}

// childOf returns the name of the child that a packet of the side is for.
func (s *testSide) childOf(e *espPacket) string { return s.plane.spd[e.policy].Name.Child }

// fail has a gate fail, by one of the first kinds of cuts or in another way.
func (gr *simGroup) fail(gate *simGate, cuts int) {
	gate.fails++
	left := gr.p.left
	switch kind := gr.rand.IntN(7); {
	case kind < 3:
		gr.drawCut(gate, cuts)
	case kind == 3 && gate.side.e != nil:
		gate.side.kill()
	case kind == 4 && left.e != nil && gate.gone == nil:
		gr.hold(gate, left, gate.side.name)
	case kind == 5 && gate.side.e != nil:
		gr.hold(gate, gate.side, left.name)
	case kind == 6 && gate.gone == nil && len(left.peers) > 1:
		list := slices.Clone(left.peers)
		i := gr.entry(gate.side.name)
		gate.gone = &left.peers[i]
		gate.forget(left)
		gr.setPeers(slices.Delete(list, i, i+1))
	}
}

func (gr *simGroup) hold(gate *simGate, at *testSide, peer string) {
	h := simHold{at, peer, ""}
	if gr.chance(0.5) {
		h.child = gr.nets[gr.rand.IntN(len(gr.nets))].name
	}
	gate.holds = append(gate.holds, h)
	at.handle(Disconnect{Peer: h.peer, Child: h.child, By: "root", Ref: at.ref()})
}

// forget forgets what is held down at a side, which knows nothing of it any more.
func (gate *simGate) forget(at *testSide) {
	gate.holds = slices.DeleteFunc(gate.holds, func(h simHold) bool { return h.at == at })
}

// mishap has a gate fail, or left, and mends it after a while.
func (gr *simGroup) mishap(gate *simGate) {
	again := gr.between(time.Second, 4*time.Minute)
	if gr.chance(0.1) {
		gr.p.left.kill()
		gr.p.events.add(gr.p.now.Add(again/4), gr.startLeft)
		return
	}
	gr.fail(gate, simCuts)
	nth := gate.fails
	gr.p.events.add(gr.p.now.Add(again), func() {
		if gate.fails == nth {
			gr.mend(gate)
		}
	})
}

// connectBoth asks both ends of a gate to connect: what was refused is tried again only after a
// while.
func (gr *simGroup) connectBoth(gate *simGate) {
	left := gr.p.left
	if i := gr.entry(gate.side.name); left.e != nil && i >= 0 && len(left.peers[i].Remote) > 0 {
		left.handle(Connect{Peer: gate.side.name, Ref: left.ref()})
	}
	if gate.side.e != nil && len(gate.side.peers[0].Remote) > 0 {
		gate.side.handle(Connect{Peer: left.name, Ref: gate.side.ref()})
	}
}

// startLeft starts left again.
func (gr *simGroup) startLeft() {
	if left := gr.p.left; left.e == nil {
		for _, gate := range gr.gates {
			gate.forget(left)
		}
		left.start()
	}
}

// mend has a gate work.
func (gr *simGroup) mend(gate *simGate) {
	left := gr.p.left
	gate.cut = nil
	gate.fails++
	if gate.side.e == nil {
		gate.forget(gate.side)
		gate.side.start()
	}
	if gate.gone != nil {
		back := *gate.gone
		for slices.ContainsFunc(left.peers, func(p Peer) bool { return p.Priority == back.Priority }) {
			back.Priority++ // it was drawn before the others' were changed
		}
		list := append(slices.Clone(left.peers), back)
		gate.gone = nil
		gr.setPeers(list)
	}
	for _, h := range gate.holds {
		if h.at.e == nil {
			continue
		}
		h.at.handle(Connect{Peer: h.peer, Child: h.child, Ref: h.at.ref()})
		gr.connectBoth(gate)
	}
	gate.holds = nil
	gr.p.note("--- %s works again", gate.side.name)
}
