package ike

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/selector"
)

// clients is a crowd in which right has one entry for all, and left is n clients of it, each with
// an address of its own inside.
type clients struct {
	*crowd
	n     int
	turns []time.Duration // of right's Handle
}

func newClients(tb testing.TB, n int) *clients {
	c := &clients{crowd: newCrowd(tb), n: n}
	c.timed = func(e *Engine, took time.Duration) {
		if e == c.right {
			c.turns = append(c.turns, took)
		}
	}
	office := crowdPeer(false, 0)
	office.Name, office.Parties = "office", true
	office.RemoteID = identity.ID{Type: wire.IDFQDN, Data: "*.example.com"}
	office.Children[0].Remote = testNetworks("10.0.0.0/8")
	peers := crowdPeers(true, n)
	for i := range peers {
		peers[i].RemoteID = office.LocalID
		peers[i].Children[0].Local = []selector.Selector{selector.FromAddr(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))}
		peers[i].Children[0].Remote = office.Children[0].Local
	}
	c.handle(c.left, SetPeers{Peers: peers})
	c.handle(c.right, SetPeers{Peers: []Peer{office}})
	return c
}

// figures returns the CPU time of right's control goroutine for each client, of its turns the one
// that only a thousandth exceed, and the longest, which has a share of a garbage collection as a
// rule.
func (c *clients) figures() (each, long, longest time.Duration) {
	for _, took := range c.turns {
		each += took
	}
	slices.Sort(c.turns)
	long, longest = c.turns[len(c.turns)*999/1000], c.turns[len(c.turns)-1]
	c.turns = c.turns[:0]
	return each / time.Duration(c.n), long, longest
}

// rekeyAll has each client rekey its IKE SA, or with a name its Child SA, 500 in a second.
func (c *clients) rekeyAll(child string) {
	for i := range c.n {
		c.now = c.now.Add(2 * time.Millisecond)
		c.handle(c.left, Rekey{Peer: fmt.Sprintf("peer-%06d", i), Child: child})
	}
}

// expireAll has the gateway rekey the Child SA of each client.
func (c *clients) expireAll() {
	for _, p := range c.right.peers.byName["office"].members.list {
		c.handle(c.right, Expire{ID: p.policies[0].Best().SA.ID})
	}
}

// TestMemoryOfClients bounds the memory that a client of an entry takes on the side of the gateway,
// when it is up and when it has been rekeyed.
func TestMemoryOfClients(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of clients")
	}
	const n = 2000
	c := newClients(t, n)
	left := heapInUse()
	c.connectAll(n)
	up := heapInUse() - left
	c.rekeyAll("")
	c.rekeyAll("lan")
	c.later(5 * time.Minute)
	rekeyed := heapInUse() - left
	// The clients themselves are IKE SAs as well; TestMemoryOfIdleIKESAs bounds them.
	t.Logf("%d octets of both sides for each client that is up, %d after a rekeying", up/n, rekeyed/n)
	for _, got := range []int64{up / n, rekeyed / n} {
		if got > 2*mostPerIKESA {
			t.Errorf("a client takes %d octets, want at most %d for both sides", got, 2*mostPerIKESA)
		}
	}
	runtime.KeepAlive(c)
}

// A clientCost is what a rekeying of one client takes: the allocations of both sides, which are the
// same in each run, and the CPU time of the gateway's median turn, in which neither a garbage
// collection nor a table that grows has a share.
type clientCost struct {
	allocs float64
	turn   time.Duration
}

// allocations returns how many objects were allocated so far.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// costs returns what each kind of rekeying of 200 of the clients costs.
func (c *clients) costs() map[string]clientCost {
	const sample = 200
	costs := map[string]clientCost{}
	measure := func(what string, one func(i int)) {
		c.turns = make([]time.Duration, 0, 16*sample)
		before := allocations()
		for i := range sample {
			c.now = c.now.Add(2 * time.Millisecond)
			one(i * (c.n / sample))
		}
		after := allocations()
		slices.Sort(c.turns)
		costs[what] = clientCost{float64(after-before) / sample, c.turns[len(c.turns)/2]}
	}
	name := func(i int) string { return fmt.Sprintf("peer-%06d", i) }
	measure("IKE SA", func(i int) { c.handle(c.left, Rekey{Peer: name(i)}) })
	measure("Child SA", func(i int) { c.handle(c.left, Rekey{Peer: name(i), Child: "lan"}) })
	members := c.right.peers.byName["office"].members.list
	measure("Child SA, by the gateway", func(i int) { c.handle(c.right, Expire{ID: members[i].policies[0].Best().SA.ID}) })
	return costs
}

// TestClientsCostTheSame compares what a rekeying of one client costs the gateway among 250 clients
// and among 5,000. A search through all of them would cost several times as much.
func TestClientsCostTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of clients")
	}
	runtime.LockOSThread() // for threadTime
	defer runtime.UnlockOSThread()
	var costs [2]map[string]clientCost
	for i, n := range []int{250, 5000} {
		c := newClients(t, n)
		c.connectAll(n)
		costs[i] = c.costs()
	}
	for what, few := range costs[0] {
		many := costs[1][what]
		t.Logf("%s: %.0f and %.0f allocations, %v and %v for a turn", what, few.allocs, many.allocs, few.turn, many.turn)
		if many.allocs > few.allocs*1.1 {
			t.Errorf("%s: %.0f allocations among few, %.0f among many", what, few.allocs, many.allocs)
		}
		if many.turn > 4*few.turn {
			t.Errorf("%s: a turn takes %v among few, %v among many", what, few.turn, many.turn)
		}
	}
}

// BenchmarkEstablishClients has clients of one entry connect, one after another, with Curve25519.
// The figures are the time for all, by the clock and of the processors: of both sides' engines and
// key exchanges, on one thread.
func BenchmarkEstablishClients(b *testing.B) {
	const n = 10000
	for b.Loop() {
		b.StopTimer()
		c := newClients(b, n)
		c.timed, c.left.cfg.KE, c.right.cfg.KE = nil, suite.SystemGroups{}, suite.SystemGroups{}
		b.StartTimer()
		runtime.LockOSThread() // for threadTime
		begun, used := time.Now(), threadTime()
		c.connectAll(n)
		b.ReportMetric(time.Since(begun).Seconds(), "s")
		b.ReportMetric((threadTime() - used).Seconds(), "cpu-s")
		runtime.UnlockOSThread()
	}
}

// BenchmarkClients has clients of one entry connect and be rekeyed. The figures are those of the
// gateway's control goroutine alone: for each client, and the longest turns.
func BenchmarkClients(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			runtime.LockOSThread() // for threadTime
			defer runtime.UnlockOSThread()
			for b.Loop() {
				c := newClients(b, n)
				before := heapInUse()
				c.turns = make([]time.Duration, 0, 8*n)
				c.connectAll(n)
				report := func(what string) {
					each, long, longest := c.figures()
					b.ReportMetric(float64(each)/1e3, "us/"+what)
					b.ReportMetric(float64(long)/1e3, "us/"+what+"-99.9%")
					b.ReportMetric(float64(longest)/1e3, "us/"+what+"-longest")
				}
				report("connect")
				b.ReportMetric(float64(heapInUse()-before)/float64(n)/2, "B/client")
				c.rekeyAll("")
				report("rekey")
				c.rekeyAll("lan")
				report("child-rekey")
				c.expireAll()
				report("own-child-rekey")
				if got := len(c.right.peers.byName["office"].members.list); got != n || c.right.pairs.Len() < n {
					b.Fatalf("%d clients and %d Child SAs", got, c.right.pairs.Len())
				}
				if counts := c.right.Counters(); counts["ike_over_budget"]+counts["ike_over_budget_later"] > 0 {
					b.Fatalf("some were refused: %v", counts)
				}
				b.ReportMetric(0, "ns/op")
				runtime.KeepAlive(c)
			}
		})
	}
}
