package ike

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// crowd is two engines with many peers each, and nothing between them: a message arrives at once.
// It keeps nothing of what it carries, so that heap growth is the engines'. Left initiates; right
// answers calls from any address, as a gateway with many clients does.
type crowd struct {
	tb          testing.TB
	now         time.Time
	left, right *Engine
	planes      map[*Engine]*crowdPlane
	wire        []crowdDatagram
	kept        func(*Engine, Notice)
	timed       func(*Engine, time.Duration) // how much CPU a Handle took; nil: not asked for
}

type crowdDatagram struct {
	to *Engine
	in Datagram
}

// crowdPlane hands out SPIs.
type crowdPlane struct{ next uint32 }

func (p *crowdPlane) AllocSPI(uint32) (uint32, error) { p.next++; return 256 + p.next, nil }
func (p *crowdPlane) FreeSPI(uint32)                  {}

var crowdLeft, crowdRight = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func newCrowd(tb testing.TB) *crowd {
	c := &crowd{tb: tb, now: epoch, planes: map[*Engine]*crowdPlane{}}
	c.left, c.right = c.engine(crowdLeft, "left"), c.engine(crowdRight, "right")
	return c
}

func (c *crowd) engine(addr netip.Addr, name string) *Engine {
	plane := &crowdPlane{}
	e := New(Config{
		Rand: seededRand(1, name), KE: fakeKEs{random: seededRand(2, name)}, SPIs: plane,
		LocalAddr: func(netip.Addr) netip.Addr { return addr },
	}, c.now)
	c.planes[e] = plane
	return e
}

// crowdPeer is the n-th peer of either side.
func crowdPeer(left bool, n int) Peer {
	id := func(side string) identity.ID {
		return identity.ID{Type: wire.IDFQDN, Data: fmt.Sprintf("%s-%06d.example.com", side, n)}
	}
	side := &testSide{name: "left"}
	p := Peer{
		Name: fmt.Sprintf("peer-%06d", n), LocalID: id("left"), RemoteID: id("right"), PSK: testPSK(),
		Proposals: []wire.Proposal{testIKEProposal}, Lifetime: 8 * time.Hour, DPD: 30 * time.Second, Fragment: 1280,
	}
	if left {
		p.Remote = []netip.Addr{crowdRight}
	} else {
		p.LocalID, p.RemoteID = p.RemoteID, p.LocalID
		side.name = "right"
	}
	p.Children = []Child{testChild(side, "lan", n&255)}
	p.Children[0].Start = StartNever
	return p
}

func crowdPeers(left bool, n int) []Peer {
	list := make([]Peer, n)
	for i := range list {
		list[i] = crowdPeer(left, i)
	}
	return list
}

// threadTime returns the CPU time of this thread: what the system runs in between does not count.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// handle gives an engine an input and carries on until nothing is on the wire.
func (c *crowd) handle(e *Engine, in Input) {
	c.one(e, in)
	for len(c.wire) > 0 {
		d := c.wire[0]
		c.wire = c.wire[1:]
		c.one(d.to, d.in)
	}
	c.wire = nil
}

func (c *crowd) one(e *Engine, in Input) {
	var fx Effects
	begun := threadTime()
	e.Handle(c.now, in, &fx)
	if c.timed != nil {
		c.timed(e, threadTime()-begun)
	}
	for _, f := range fx.List {
		switch f := f.(type) {
		case Send:
			to := c.left
			if e == c.left {
				to = c.right
			}
			if !f.Keepalive {
				c.wire = append(c.wire, crowdDatagram{to, Datagram{Path: ipsec.NewPath(f.Path.Via(), f.Path.Remote(), f.Path.Local(), 0), Data: f.Data}})
			}
		case Compute:
			c.one(e, Computed{ID: f.ID, Value: f.Run()})
		case NeedTraffic:
			c.one(e, Traffic{ID: f.ID})
		case Notice:
			if c.kept != nil {
				c.kept(e, f)
			}
		}
	}
}

// connectAll brings all peers up, one after another.
func (c *crowd) connectAll(n int) {
	for i := range n {
		c.handle(c.left, Connect{Peer: fmt.Sprintf("peer-%06d", i)})
	}
	for _, e := range []*Engine{c.left, c.right} {
		if e.pairs.Len() != n {
			c.tb.Fatalf("%d of %d children came up", e.pairs.Len(), n)
		}
	}
}

// later lets time pass with what the engines have to do in it.
func (c *crowd) later(d time.Duration) {
	end := c.now.Add(d)
	for {
		next := end
		for _, e := range []*Engine{c.left, c.right} {
			if at := e.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if next.Equal(end) {
			break
		}
		c.now = next
		for _, e := range []*Engine{c.left, c.right} {
			if at := e.Deadline(); !at.IsZero() && !at.After(next) {
				c.handle(e, Wake{})
			}
		}
	}
	c.now = end
}

// heapInUse is what the heap holds that can be reached.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // finishes the sweep of the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Bounds of the memory per peer, in bytes: its configuration in the engine, and an idle IKE SA with
// one Child SA.
const (
	mostPerPeer  = 4 << 10
	mostPerIKESA = 8 << 10
)

func TestMemoryOfIdleIKESAs(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of IKE SAs")
	}
	const n = 2000
	c := newCrowd(t)
	peers := [2][]Peer{crowdPeers(true, n), crowdPeers(false, n)}
	before := heapInUse()
	c.handle(c.left, SetPeers{Peers: peers[0]})
	c.handle(c.right, SetPeers{Peers: peers[1]})
	configured := heapInUse()
	c.connectAll(n)
	up := heapInUse()
	c.later(2 * time.Hour) // liveness checks and a rekeying of each Child SA at least
	idle := heapInUse()
	t.Logf("for each peer %d bytes; for each IKE SA with its Child SA %d when it is up, %d two hours later", (configured-before)/(2*n), (up-configured)/(2*n), (idle-configured)/(2*n))
	if got := (configured - before) / (2 * n); got > mostPerPeer {
		t.Errorf("a configured peer takes %d bytes, want at most %d", got, mostPerPeer)
	}
	for _, got := range []int64{(up - configured) / (2 * n), (idle - configured) / (2 * n)} {
		if got > mostPerIKESA {
			t.Errorf("an idle IKE SA takes %d bytes, want at most %d", got, mostPerIKESA)
		}
	}
	runtime.KeepAlive(peers)
	runtime.KeepAlive(c)
}

// The numbers of peers that the benchmarks compare.
var fewAndMany = []int{10, 100000}

// BenchmarkChangePeers changes the address of one of many peers, or all of its configuration, and
// back. The peers have addresses of their own, or none, as clients do.
func BenchmarkChangePeers(b *testing.B) {
	for _, kind := range []string{"address", "anywhere"} {
		for _, n := range fewAndMany {
			c := newCrowd(b)
			peers := crowdPeers(kind == "address", n)
			for i := range peers {
				if kind == "address" {
					peers[i].Remote = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
				}
			}
			c.handle(c.left, SetPeers{Peers: peers})
			was := peers[n/2]
			moved, other := was, was
			moved.Remote = []netip.Addr{crowdLeft}
			other.DPD = time.Hour
			for name, to := range map[string]Peer{"moved": moved, "changed": other} {
				b.Run(fmt.Sprintf("%s/%s/%d", kind, name, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						c.handle(c.left, ChangePeers{Set: []Peer{to}})
						c.handle(c.left, ChangePeers{Set: []Peer{was}})
					}
				})
			}
		}
	}
}

// BenchmarkStatus is a snapshot of all peers, each with an established IKE SA.
func BenchmarkStatus(b *testing.B) {
	const n = 2000
	e := established(b, n)
	b.ReportAllocs()
	for b.Loop() {
		if got := len(e.Status()); got != n {
			b.Fatalf("%d peers", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/peer")
}

// BenchmarkGauges is what a scrape of the metrics asks the engine for, part by part.
func BenchmarkGauges(b *testing.B) {
	const n = 2000
	e := established(b, n)
	var g Gauges
	b.ReportAllocs()
	for b.Loop() {
		for next, first := (Mark{}), true; first || next != (Mark{}); first = false {
			next = e.GaugesPart(next, 256, &g)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/peer")
}

// established returns an engine with n peers, each with an IKE SA and a Child SA.
func established(tb testing.TB, n int) *Engine {
	c := newCrowd(tb)
	c.handle(c.left, SetPeers{Peers: crowdPeers(true, n)})
	c.handle(c.right, SetPeers{Peers: crowdPeers(false, n)})
	c.connectAll(n)
	return c.left
}

// Of the 5 us of CPU time that a scrape of the metrics may take for each child, one is the
// engine's. A part of 256 peers holds it for no more than 256 us so.
func TestGaugesAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("CPU time is measured without the race detector")
	}
	const n = 2000
	e := established(t, n)
	best := time.Hour
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 20 {
		var g Gauges
		begun := threadTime()
		for next, first := (Mark{}), true; first || next != (Mark{}); first = false {
			next = e.GaugesPart(next, 256, &g)
		}
		best = min(best, threadTime()-begun)
	}
	t.Logf("%v of CPU time for each of %d peers", best/n, n)
	if best > n*time.Microsecond {
		t.Errorf("%v of CPU time for each peer", best/n)
	}
}

// Very many peers that are to come up at once are looked at in parts.
func TestManyPeersBeginInParts(t *testing.T) {
	const n = 10 * maxReconciles
	peers := crowdPeers(true, n)
	for i := range peers {
		peers[i].Children[0].Start = StartBoot
	}
	e := newCrowd(t).left
	parts := 0
	for in := Input(SetPeers{Peers: peers}); parts == 0 || e.Deadline().Equal(epoch); in = (Wake{}) {
		var fx Effects
		before := len(e.peers.dirty)
		if parts++; parts == 1 {
			before = n
		}
		e.Handle(epoch, in, &fx)
		if done := before - len(e.peers.dirty); done > maxReconciles || done == 0 {
			t.Fatalf("%d peers in part %d", done, parts)
		}
	}
	if parts != n/maxReconciles {
		t.Errorf("%d parts for %d peers", parts, n)
	}
}
