package ike

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// A testGroup is a gateway with several peers for the same networks. Packets flow all the time: the
// gateway sends what its SPD says, and the peer that receives a packet answers it.
type testGroup struct {
	*testPair
	gateways       []*testSide // the peers, the most preferred first
	sent, answered int
	lab            bool          // packets of lab flow as well
	labs           [2]int        // of these, those sent and answered
	copies         int           // that were sent to the peers and came
	last           time.Time     // of an answer to lan's
	gap            time.Duration // the longest between two answers to lan's
	oneWay         bool          // the peers answer nothing
	silent         string        // the child of whose packets they answer none
	unasked        bool          // the hosts of the peers send all the time, and answer as well
	looks          map[*testSide]*planeLooks
}

// newGroup returns a gateway with n peers for the same networks, which it connects to.
func newGroup(t testing.TB, n int, edit func(g *testGroup)) *testGroup {
	g := &testGroup{looks: map[*testSide]*planeLooks{}}
	newPair(t, 1, func(p *testPair) {
		g.testPair = p
		g.gateways = []*testSide{p.right}
		for i := 2; i <= n; i++ {
			s := newSide(p, fmt.Sprintf("spare%d", i), fmt.Sprintf("192.0.2.%d", 10*i), fmt.Sprintf("2001:db8::%d0", i))
			p.more, g.gateways = append(p.more, s), append(g.gateways, s)
		}
		p.left.peers = nil
		for i, s := range g.gateways {
			peer := defaultPeer(p.left, s)
			peer.Priority = i + 1
			peer.Children[0].Start = StartBoot
			p.left.peers = append(p.left.peers, peer)
			s.peers = []Peer{defaultPeer(s, p.left)}
			c := &s.peers[0].Children[0]
			c.Local, c.Remote = peer.Children[0].Remote, peer.Children[0].Local
		}
		p.opened = g.opened
		if edit != nil {
			edit(g)
		}
	})
	g.drive(5 * time.Second)
	return g
}

// opened answers a packet, or counts an answer.
func (g *testGroup) opened(s *testSide, name ipsec.PolicyName) {
	if g.copies += btoi(g.copied && s != g.left); g.copied && s == g.left {
		return
	}
	switch {
	case s == g.left && name.Child == "lab":
		g.labs[1]++
	case s == g.left:
		g.answered++
		g.gap, g.last = max(g.gap, g.now.Sub(g.last)), g.now
	case !g.oneWay && name.Child != g.silent:
		s.plane.send(s.plane.policyNamed(name), 1)
	}
}

// newGroupOfTwo returns a gateway with n peers that have two children each, lan and lab.
func newGroupOfTwo(t testing.TB, n int) *testGroup {
	return newGroup(t, n, func(g *testGroup) {
		g.lab = true
		for i, s := range g.gateways {
			lab := testChild(g.left, "lab", 1)
			back := lab
			back.Local, back.Remote, lab.Start = lab.Remote, lab.Local, StartBoot
			g.left.peers[i].Children = append(g.left.peers[i].Children, lab)
			s.peers[0].Children = append(s.peers[0].Children, back)
		}
	})
}

// active returns the peer through whose policy the gateway's packets go.
func (g *testGroup) active() *testSide { return g.activeFor("lan") }

// activeFor returns the same for the packets of a child.
func (g *testGroup) activeFor(child string) *testSide {
	name := g.left.plane.spd[g.left.plane.matched(g.left.policy(child))].Name
	i := slices.IndexFunc(g.gateways, func(s *testSide) bool { return s.name == name.Peer })
	return g.gateways[i]
}

const everyPacket = 50 * time.Millisecond

// flow sends packets for a time, and reports what the dataplanes would of silences.
func (g *testGroup) flow(d time.Duration) {
	g.last = g.now
	for end := g.now.Add(d); g.now.Before(end); {
		g.left.plane.send(g.left.plane.matched(g.left.policy("lan")), 1)
		g.sent++
		if g.lab {
			g.left.plane.send(g.left.plane.matched(g.left.policy("lab")), 1)
			g.labs[0]++
		}
		if g.unasked {
			for _, s := range g.gateways {
				s.plane.sendUnasked()
			}
		}
		g.drive(everyPacket)
		for _, s := range append(g.gateways, g.left) {
			g.look(s)
		}
	}
	g.gap = max(g.gap, g.now.Sub(g.last))
}

// quiet forgets what was counted so far.
func (g *testGroup) quiet() {
	g.drive(time.Second)
	g.sent, g.answered, g.labs, g.gap, g.lost = 0, 0, [2]int{}, 0, nil
}

// wantActive checks which peer is active, and that status says so.
func (g *testGroup) wantActive(s *testSide) {
	g.t.Helper()
	if now := g.active(); now != s {
		g.fatalf("packets go through %s, want %s", now.name, s.name)
	}
	for _, other := range g.gateways {
		st, _ := g.left.e.StatusOf(other.name)
		if r := st.Children[0].Role; r == nil || r.Active != (s == other) || r.Why == "" || r.Since.IsZero() {
			g.fatalf("the role of %s is %+v", other.name, r)
		}
	}
	g.wantSound()
}

// wantFlow sends for a time, and checks that everything was answered.
func (g *testGroup) wantFlow(d time.Duration) {
	g.t.Helper()
	g.quiet()
	g.flow(d)
	g.drive(time.Second)
	if g.sent != g.answered {
		g.fatalf("%d of %d packets were not answered", g.sent-g.answered, g.sent)
	}
	g.wantLab()
	g.wantNoLoss()
}

// wantLab checks that all of lab's packets were answered.
func (g *testGroup) wantLab() {
	g.t.Helper()
	if g.labs[0] != g.labs[1] {
		g.fatalf("%d of %d packets of lab were not answered", g.labs[0]-g.labs[1], g.labs[0])
	}
}

// drop drops what is sent between the gateway and a peer, as far as it is of a kind.
func (g *testGroup) drop(s *testSide, which func(pk *testPacket) bool) {
	link := g.link
	g.link = func(pk *testPacket) []time.Duration {
		if (pk.from == s || slices.Contains(s.addrs, pk.dst.Addr())) && which(pk) {
			return nil
		}
		return link(pk)
	}
}

// strangers makes the peers ones that answer no probes.
func (g *testGroup) strangers() {
	g.left.noProbes = true
	g.after = func(of *testSide) {
		for _, s := range of.e.sas.bySPI {
			s.net.follows = false
		}
		for _, group := range of.e.standby.of {
			for _, m := range group.members {
				m.data.proof = dataProof{} // begun before
			}
		}
	}
	g.after(g.left)
}

// dropChild drops the ESP between the gateway and a peer that is of a child, in one direction or
// both.
func (g *testGroup) dropChild(s *testSide, child string, to, from bool) {
	g.drop(s, func(pk *testPacket) bool {
		return onlyESP(pk) && pk.from.childOf(pk.esp) == child && (pk.from == s && from || pk.from != s && to)
	})
}

func anything(*testPacket) bool { return true }

func onlyESP(pk *testPacket) bool { return pk.esp != nil }

func onlyIKE(pk *testPacket) bool { return pk.msg != nil }

func (g *testGroup) unplug() { g.drop(g.gateways[0], anything) }

func (g *testGroup) repair() { g.link = steadyLink(10 * time.Millisecond) }

func (g *testGroup) killPreferred() { g.gateways[0].kill() }

// setStart reloads with another start of the i-th peer's child.
func (g *testGroup) setStart(i int, m StartMode) {
	list := slices.Clone(g.left.peers)
	list[i].Children = slices.Clone(list[i].Children)
	list[i].Children[0].Start = m
	g.left.peers = list
	g.left.handle(PlanPeers{Set: list, Whole: true})
	g.left.handle(SetPeers{Peers: slices.Clone(list)})
}
