package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// A reload does not undo the choice and loses nothing. Other priorities are in force at once.
func TestReloadKeepsTheChoice(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	g.unplug()
	g.flow(20 * time.Second)
	g.wantActive(g.gateways[1])
	reload := func(change func(list []Peer)) {
		list := slices.Clone(g.left.peers)
		change(list)
		g.events.add(g.now.Add(time.Second), func() {
			g.left.peers = list
			g.left.handle(PlanPeers{Set: list, Whole: true})
			g.left.handle(SetPeers{Peers: slices.Clone(list)})
		})
		g.wantFlow(10 * time.Second)
	}
	reload(func([]Peer) {})
	reload(func(list []Peer) { list[0].DPD, list[1].DPD = time.Minute, time.Minute })
	reload(func(list []Peer) { list[0].Encap = EncapAlways }) // the preferred one is another profile
	g.wantActive(g.gateways[1])
	g.repair()
	g.waitFor(3*time.Minute, func() bool { g.flow(time.Second); return g.active() == g.gateways[0] })
	g.wantFlow(20 * time.Second)
	reload(func(list []Peer) { list[0].Priority, list[1].Priority = 20, 10 })
	g.wantActive(g.gateways[1])
	reload(func(list []Peer) { slices.Reverse(list) })
	g.wantActive(g.gateways[1])
	if r := g.left.e.Status()[0].Children[0].Role; r == nil || !r.Active {
		g.fatalf("the role is %+v", r)
	}
}

// A peer of a group that is removed leaves it to the others.
func TestRemovedPeerLeavesItsGroup(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.wantFlow(5 * time.Second)
	g.quiet()
	g.events.add(g.now.Add(time.Second), func() {
		g.left.handle(ChangePeers{Gone: []string{"right"}})
		g.left.peers = g.left.peers[1:]
	})
	g.flow(10 * time.Second)
	g.drive(time.Second)
	if g.sent != g.answered {
		g.fatalf("%d of %d packets were not answered", g.sent-g.answered, g.sent)
	}
	g.gateways = g.gateways[1:]
	g.wantActive(g.gateways[0])
	list := slices.Clone(g.left.peers)
	list[0].Priority = 0
	g.left.handle(SetPeers{Peers: list})
	if st, _ := g.left.e.StatusOf("spare2"); st.Children[0].Role != nil || len(g.left.e.standby.of) != 1 {
		g.fatalf("without a priority the role is %+v", st.Children[0].Role)
	}
	g.left.handle(SetPeers{})
	if s := &g.left.e.standby; len(s.of)+len(s.byKey) != 0 {
		g.fatalf("left: %v", s)
	}
	g.drive(time.Minute)
	g.wantSound()
}

// Policies of one group are those with the same networks in any order.
func TestNetworksKey(t *testing.T) {
	p := newPair(t, 1, nil)
	party := p.left.e.peers.order[0].party
	key := func(local, remote string) string {
		c := Child{Local: testNetworks(strings.Fields(local)...), Remote: testNetworks(strings.Fields(remote)...)}
		return networksKey(party.newPolicy(c))
	}
	if key("10.1.0.0/16 10.3.0.0/16", "::/0") != key("10.3.0.0/16 10.1.0.0/16", "::/0") {
		t.Error("the order counts")
	}
	if key("10.1.0.0/16", "10.3.0.0/16") == key("10.1.0.0/16 10.3.0.0/16", "10.3.0.0/16") || key("10.1.0.0/16", "10.3.0.0/16") == key("10.3.0.0/16", "10.1.0.0/16") {
		t.Error("other networks have the same key")
	}
}

// A packet that asks for a policy which another one of its group has left behind is refused at
// once. Nothing is left behind while none is active.
func TestPacketForWhatIsLeft(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.wantFlow(5 * time.Second)
	g.wantActive(g.gateways[0])
	ids := map[string]ipsec.PolicyID{}
	for id, pol := range g.left.plane.spd {
		ids[pol.Name.Peer] = id
	}
	for name, want := range map[string]int{"right": 0, "spare2": 1} {
		id := ids[name]
		before := g.left.failed[id]
		g.left.handle(Acquire{Policy: id, Flow: g.left.flow(id)})
		if n := g.left.failed[id] - before; n != want {
			t.Errorf("a packet for %s fails %d times, want %d", name, n, want)
		}
	}
	var none *standbyGroup
	pol := g.left.e.policies.byID[ids["right"]]
	if none.left(pol) || (&standbyGroup{}).left(pol) {
		t.Error("a policy is left behind where none is active")
	}
}
