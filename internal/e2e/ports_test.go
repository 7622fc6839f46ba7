//go:build linux

package e2e

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// sourcePorts counts the packets in UDP to port 4500 of right by their source ports, as they come
// to it.
type sourcePorts struct {
	mu   sync.Mutex
	seen map[uint16]int
}

func (n *network) sourcePorts(t *testing.T) *sourcePorts {
	t.Helper()
	s := &sourcePorts{seen: map[uint16]int{}}
	_, err := n.right.SniffHeaders("wan", 64, func(frame []byte) {
		if p, ok := netlab.ParseFrame(frame); ok && p.Protocol == 17 && p.DstPort == 4500 && (p.Dst == addr("192.0.2.2") || p.Dst == addr("2001:db8::2")) {
			s.mu.Lock()
			s.seen[p.SrcPort]++
			s.mu.Unlock()
		}
	})
	ok(t, err)
	return s
}

// busy returns the ports from which more packets came than the few of IKE and of requests.
func (s *sourcePorts) busy() (list []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for port, count := range s.seen {
		if count > 200 {
			list = append(list, port)
		}
	}
	slices.Sort(list)
	return list
}

// wait waits until packets come from a number of ports.
func (s *sourcePorts) wait(t *testing.T, what string, ports int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ok(t, netlab.Until(ctx, what, func() bool { return len(s.busy()) >= ports }))
}

// forget has the count begin at zero.
func (s *sourcePorts) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.seen)
}

// ownPorts returns the source ports of the peer's Child SAs for single workers.
func (g *gateway) ownPorts(peer string) (list []int) {
	for _, w := range g.peer(peer).Children[0].WorkerSAs {
		if w.SourcePort != 0 {
			list = append(list, w.SourcePort)
		}
	}
	return list
}

// waitOwnPorts waits until both workers send from ports of their own.
func (g *gateway) waitOwnPorts(peer string) {
	g.t.Helper()
	g.wait(20*time.Second, "each worker to send from a port of its own", peer, func(p peerStatus) bool {
		ports := map[int]bool{}
		for _, w := range p.Children[0].WorkerSAs {
			if w.SourcePort != 0 {
				ports[w.SourcePort] = true
			}
		}
		return len(ports) == 2
	})
}

// saysBlocked waits until status says of each Child SA for a single worker that its port is
// blocked, and checks that the log does.
func (g *gateway) saysBlocked(peer string, limit time.Duration) {
	g.t.Helper()
	g.wait(limit, "each worker's port to be called blocked", peer, func(p peerStatus) bool {
		return !slices.ContainsFunc(p.Children[0].WorkerSAs, func(w workerStatus) bool { return !strings.Contains(w.SourceWhy, "is blocked: ") })
	})
	if !strings.Contains(g.proc.Output(), "event=port-blocked") {
		g.t.Errorf("%s: the log does not say that a port is blocked", g.host.Name)
	}
}

// inOrder are paced streams from left to right and back. stop ends them, and fails the test after a
// loss or a change of the order.
func (n *network) inOrder(t *testing.T) (stop func()) {
	t.Helper()
	var list []*netlab.Stream
	for range 12 {
		right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 100, 200)
		ok(t, err)
		left, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 100, 200)
		ok(t, err)
		list = append(list, right, left)
	}
	return func() {
		t.Helper()
		var sent, lost, doubled, reordered uint64
		for _, s := range list {
			lost += s.Stop(3 * time.Second)
			sent, doubled, reordered = sent+s.Sent.Load(), doubled+s.Doubled.Load(), reordered+s.Reordered.Load()
		}
		if lost+doubled+reordered > 0 {
			t.Errorf("of %d datagrams %d are lost, %d doubled, %d reordered", sent, lost, doubled, reordered)
		}
		t.Logf("%d datagrams, in order", sent)
	}
}

// Between culverts each worker sends from a UDP port of its own, behind a NAT as well. Nothing is
// lost or reordered while the ports change, and when SAs are rekeyed; IKE stays where it is.
func TestWorkersSendFromTheirOwnPorts(t *testing.T) {
	for _, tt := range []struct {
		name, remote, keys string
		top                topology
	}{
		{name: "IPv4", remote: "192.0.2.2", keys: "encap = \"always\"\n"},
		{name: "IPv6", remote: "2001:db8::2", keys: "encap = \"always\"\n"},
		{name: "NAT over IPv4", remote: "192.0.2.2", top: topology{nat: true}},
		{name: "NAT over IPv6", remote: "2001:db8::2", top: topology{nat: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.daemon, right.daemon = twoWorkers, twoWorkers
			right.start(peerText("left", identities("right", "left")+tt.keys, rightChildren("")...))
			left.start(peerText("right", "remote = \""+tt.remote+"\"\n"+identities("left", "right")+tt.keys, leftChildren(boot)...))
			left.waitUp("right")
			right.waitUp("left")
			where := right.peer("left").Remote
			stop := n.inOrder(t)
			left.waitOwnPorts("right")
			if !tt.top.nat { // which lets nothing in but what comes from 4500
				right.waitOwnPorts("left")
			}
			wire := n.sourcePorts(t)
			wire.wait(t, "packets from two ports", 2)
			left.do("rekey", "right/v4")
			left.do("rekey", "right")
			right.do("rekey", "left/v4")
			left.waitOwnPorts("right")
			wire.forget()
			wire.wait(t, "packets from two ports after the rekeyings", 2)
			stop()
			t.Logf("left sends from %v; right sees %v", left.ownPorts("right"), wire.busy())
			if slices.Contains(wire.busy(), 4500) {
				t.Errorf("packets still come from 4500: %v", wire.busy())
			}
			if now := right.peer("left").Remote; now != where {
				t.Errorf("right follows left from %s to %s", where, now)
			}
			for _, g := range []*gateway{left, right} {
				if c := g.status().Counters; c["ike_peer_moved"]+c["source_ports_lost"] != 0 {
					t.Errorf("%s: the peer moved %d times, %d ports were lost", g.host.Name, c["ike_peer_moved"], c["source_ports_lost"])
				}
			}
		})
	}
}

// A firewall, on the way or of the host itself, that lets nothing out but what is from 4500 leaves
// the tunnel as it is: nothing is lost or reordered. One that comes later makes the workers return
// to 4500 soon.
func TestFirewallsThatKnow4500Alone(t *testing.T) {
	const others = "udp sport != { 500, 4500 } udp dport 4500"
	for _, tt := range []struct {
		name   string
		block  func(n *network) error // before the tunnel comes up
		later  func(n *network) error // when the ports are in use
		longer bool                   // it has to be found out
	}{
		{name: "on the way", block: func(n *network) error { return dropIn(n.right, others) }},
		{name: "of the host", block: func(n *network) error { return n.left.Block(others) }},
		{name: "later on the way", later: func(n *network) error { return dropIn(n.right, others) }, longer: true},
		{name: "later of the host", later: func(n *network) error { return n.left.Block(others) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			if tt.block != nil {
				ok(t, tt.block(n))
			}
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.daemon, right.daemon = twoWorkers, twoWorkers
			keys := "encap = \"always\"\n"
			right.start(peerText("left", identities("right", "left")+keys, rightChildren("")...))
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+keys, leftChildren(boot)...))
			left.waitUp("right")
			right.waitUp("left")
			if tt.block != nil {
				stop := n.inOrder(t)
				left.ownSAs("right")
				right.waitOwnPorts("left")
				wire := n.sourcePorts(t)
				wire.wait(t, "packets from 4500", 1)
				stop()
				if ports := wire.busy(); !slices.Equal(ports, []uint16{4500}) || len(left.ownPorts("right")) > 0 {
					t.Errorf("packets come from %v, and left uses %v", ports, left.ownPorts("right"))
				}
				left.saysBlocked("right", 5*time.Second)
				return
			}
			list := []*netlab.Stream{}
			for range 12 {
				s, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 100, 200)
				ok(t, err)
				list = append(list, s)
			}
			left.waitOwnPorts("right")
			spi := left.peer("right").SPIi
			ok(t, tt.later(n))
			begun := time.Now()
			left.wait(20*time.Second, "both workers to return to 4500", "right", func(p peerStatus) bool {
				for _, w := range p.Children[0].WorkerSAs {
					if w.SourcePort != 0 {
						return false
					}
				}
				return true
			})
			took := time.Since(begun)
			var sent, lost uint64
			for _, s := range list {
				lost += s.Stop(100 * time.Millisecond)
				sent += s.Sent.Load()
			}
			t.Logf("after %v; %d of %d datagrams are lost", took, lost, sent)
			if most := map[bool]time.Duration{false: time.Second, true: 6 * time.Second}[tt.longer]; took > most {
				t.Errorf("it took %v", took)
			}
			left.saysBlocked("right", time.Second)
			if p := left.peer("right"); p.SPIi != spi || p.Unreachable != "" {
				t.Errorf("the IKE SA is another one, or the peer unreachable: %+v", p)
			}
		})
	}
}

// A NAT that has one port for all, so that it has none for a second socket, leaves the tunnel as it
// is as well.
func TestNATWithOnePort(t *testing.T) {
	n := build(t, topology{nat: true})
	ok(t, n.nat.NFT(
		"flush chain inet nat post",
		`add rule inet nat post oifname "out" udp dport 4500 masquerade to :10000`,
		`add rule inet nat post oifname "out" meta l4proto { tcp, udp } masquerade fully-random`))
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	left.daemon, right.daemon = twoWorkers, twoWorkers
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	stop := n.inOrder(t)
	left.ownSAs("right")
	right.ownSAs("left")
	left.saysBlocked("right", 10*time.Second)
	right.saysBlocked("left", 10*time.Second)
	wire := n.sourcePorts(t)
	wire.wait(t, "packets from the one port", 1)
	stop()
	if ports := wire.busy(); !slices.Equal(ports, []uint16{10000}) || len(left.ownPorts("right"))+len(right.ownPorts("left")) > 0 {
		t.Errorf("packets come from %v, left uses %v, and right %v", ports, left.ownPorts("right"), right.ownPorts("left"))
	}
	wantNeverDown(t, left, right)
}

// A NAT forgets all mappings, while what left sends comes from ports of which right learns nothing:
// it is shown where left is.
func TestNATForgetsSourcePorts(t *testing.T) {
	n := build(t, topology{nat: true})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	left.daemon, right.daemon = twoWorkers, twoWorkers
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	stop := n.flows(t)
	left.waitOwnPorts("right")
	stop()
	before := right.peer("left").Remote
	n.wantForgotten(t, left, 2*time.Second, 3*time.Second)
	if now := right.peer("left").Remote; now == before {
		t.Errorf("right still sends to %s", before)
	}
	wantNeverDown(t, left, right)
}

// dropIn makes a host drop what comes to it and matches an nft expression.
func dropIn(h *netlab.Host, expr string) error {
	return h.NFT(
		"add table inet narrow",
		"add chain inet narrow in { type filter hook input priority 0; }",
		"add rule inet narrow in "+expr+" drop")
}
