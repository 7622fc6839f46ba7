//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/netlab"
)

// Two workers on each side (RFC 9611), whatever the machine has.
const twoWorkers = "workers = 2\n"

// flows are streams each way, in such numbers that the kernel, which hashes their ports, gives some
// to each worker's queue. stop ends them, and fails the test after a loss.
func (n *network) flows(t *testing.T) (stop func()) {
	t.Helper()
	var list []*netlab.Stream
	for range 24 {
		right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 100, 200)
		ok(t, err)
		left, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 100, 200)
		ok(t, err)
		list = append(list, right, left)
	}
	return func() {
		t.Helper()
		var sent, lost, doubled uint64
		for _, s := range list {
			lost += s.Stop(3 * time.Second)
			sent, doubled = sent+s.Sent.Load(), doubled+s.Doubled.Load()
		}
		if lost+doubled > 0 {
			t.Errorf("%d of %d datagrams lost, %d doubled", lost, sent, doubled)
		}
		t.Logf("%d datagrams, none lost", sent)
	}
}

// ownSAs waits until each of the two workers has sent on a Child SA of its own, and returns these
// by worker. Their SPIs name one worker for all that the peer sends.
func (g *gateway) ownSAs(peer string) (list [2]workerStatus) {
	g.t.Helper()
	g.wait(20*time.Second, "each worker to send on its own Child SA", peer, func(p peerStatus) bool {
		list = [2]workerStatus{}
		for _, w := range p.Children[0].WorkerSAs {
			if w.State == "installed" && w.PacketsOut > 0 {
				list[w.Worker] = w
			}
		}
		return list[0].SPIIn != "" && list[1].SPIIn != ""
	})
	worker := func(w workerStatus) int {
		spi, err := strconv.ParseUint(w.SPIIn, 16, 32)
		if err != nil {
			g.t.Errorf("%s: SPI %q", g.host.Name, w.SPIIn)
		}
		return netio.WorkerOf(uint32(spi), 2)
	}
	if worker(list[0]) != worker(list[1]) {
		g.t.Errorf("%s: SPIs %s and %s name two workers", g.host.Name, list[0].SPIIn, list[1].SPIIn)
	}
	return list
}

// shared returns the number of packets that the child has sent on the SA of all workers.
func (c childStatus) shared() uint64 {
	n := c.PacketsOut
	for _, w := range c.WorkerSAs {
		n -= w.PacketsOut
	}
	return n
}

func TestWorkersHaveTheirOwnSAs(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
	}{{name: "protocol 50", keys: protocol50}, {name: "UDP", keys: "encap = \"always\"\n"}} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.daemon, right.daemon = twoWorkers, twoWorkers
			right.start(peerText("left", identities("right", "left")+tt.keys, rightChildren("")...))
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+tt.keys, leftChildren(boot)...))
			left.waitUp("right")
			right.waitUp("left")
			n.wantPing(t, 10*time.Second)
			for _, c := range left.peer("right").Children {
				if len(c.WorkerSAs) > 0 {
					t.Errorf("an idle tunnel has %+v", c.WorkerSAs)
				}
			}
			stop := n.flows(t)
			mine, theirs := left.ownSAs("right"), right.ownSAs("left")
			stop()
			wantMirrored(t, left, right)
			t.Logf("left %+v, right %+v", mine, theirs)

			before := [2]childStatus{left.child("right", "v4"), right.child("left", "v4")}
			stop = n.flows(t)
			left.wait(10*time.Second, "more packets", "right", func(p peerStatus) bool { return p.Children[0].PacketsOut > before[0].PacketsOut+1000 })
			stop()
			for i, after := range []childStatus{left.child("right", "v4"), right.child("left", "v4")} {
				if sent := after.shared() - before[i].shared(); sent > 50 || // dummy packets, which show where we are
					after.PacketsOut < before[i].PacketsOut+100 {
					t.Errorf("side %d sent %d of %d packets on the Child SA that is for all", i, sent, after.PacketsOut-before[i].PacketsOut)
				}
			}
			rekeyWorkers(t, n, left, right)
			text := left.do("status", "-v")
			for worker := range 2 {
				if want := fmt.Sprintf("    worker %d  installed", worker); !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%s", want, text)
				}
			}
		})
	}
}

// wantMirrored checks that each of left's Child SAs is one of right's.
func wantMirrored(t *testing.T, left, right *gateway) {
	t.Helper()
	spis := func(c childStatus) (in, out []string) {
		in, out = []string{c.SPIIn}, []string{c.SPIOut}
		for _, w := range c.WorkerSAs {
			in, out = append(in, w.SPIIn), append(out, w.SPIOut)
		}
		slices.Sort(in)
		slices.Sort(out)
		return in, out
	}
	leftIn, leftOut := spis(left.child("right", "v4"))
	rightIn, rightOut := spis(right.child("left", "v4"))
	if !slices.Equal(leftIn, rightOut) || !slices.Equal(leftOut, rightIn) {
		t.Errorf("left receives on %v and sends to %v, right receives on %v and sends to %v", leftIn, leftOut, rightIn, rightOut)
	}
}

// rekeyWorkers rekeys everything under traffic: nothing is lost, and each worker still has its own
// SA.
func rekeyWorkers(t *testing.T, n *network, left, right *gateway) {
	t.Helper()
	stop := n.flows(t)
	was := left.ownSAs("right")
	for range 3 {
		left.do("rekey", "right/v4")
		right.do("rekey", "left/v4")
		left.do("rekey", "right")
	}
	is := left.ownSAs("right")
	right.ownSAs("left")
	stop()
	for worker := range is {
		if is[worker].SPIIn == was[worker].SPIIn {
			t.Errorf("the Child SA of worker %d was not rekeyed", worker)
		}
	}
	wantMirrored(t, left, right)
}

// A side with one worker makes the SAs that the other side asks for.
func TestOneWorkerAndTwo(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	left.daemon, right.daemon = twoWorkers, "workers = 1\n"
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
	left.waitUp("right")
	right.waitUp("left")
	stop := n.flows(t)
	left.ownSAs("right")
	stop()
	wantMirrored(t, left, right)
	for _, w := range right.child("left", "v4").WorkerSAs {
		if w.Worker != 0 {
			t.Errorf("of one worker right has %+v", w)
		}
	}
}

// A side that does not want it, or cannot do it, has one Child SA for all workers.
func TestPeersWithoutWorkersSAs(t *testing.T) {
	t.Run("per_cpu never", func(t *testing.T) {
		n := build(t, topology{})
		left, right := newGateway(t, n.left), newGateway(t, n.right)
		left.daemon, right.daemon = twoWorkers, twoWorkers
		right.start(peerText("left", identities("right", "left")+"per_cpu = \"never\"\n", rightChildren("")...))
		left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
		left.waitUp("right")
		right.waitUp("left")
		n.wantOneSA(t, left, "right")
	})
	t.Run("strongSwan", func(t *testing.T) {
		n := build(t, topology{})
		n.swan(t, nil)
		left := newGateway(t, n.left)
		left.daemon = twoWorkers
		left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), swanChildKeys+boot))
		left.waitUp("right")
		n.wantOneSA(t, left, "right")
		left.do("rekey", "right/v4")
		n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
	})
}

// wantOneSA sends traffic for which each worker would ask for an SA if it could.
func (n *network) wantOneSA(t *testing.T, g *gateway, peer string) {
	t.Helper()
	stop := n.flows(t)
	g.wait(10*time.Second, "traffic of both workers", peer, func(p peerStatus) bool { return p.Children[0].PacketsOut > 3000 })
	stop()
	if c := g.child(peer, "v4"); len(c.WorkerSAs) > 0 || c.Rekeys > 0 || c.Drops["replay"] > 0 {
		t.Errorf("the child is %+v", c)
	}
	if _, asked := g.status().Counters["ike_ts_max_queue"]; asked {
		t.Error("something was asked for")
	}
}
