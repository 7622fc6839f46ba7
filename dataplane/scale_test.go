package dataplane

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// crowd is a plane with many policies and a Child SA pair for each, with nothing running.
type crowd struct {
	*Plane
	policies []ipsec.Policy
	sas      []ipsec.ChildSA
	lastID   ipsec.ChildID
}

// fewAndMany are the numbers of policies that the benchmarks compare; there are twice as many SAs.
var fewAndMany = []int{100, 100000}

// crowdPolicy is the n-th of many policies.
func crowdPolicy(n int) ipsec.Policy {
	remote := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 12), byte(n >> 4), byte(n << 4)}), 28)
	return ipsec.Policy{
		ID: ipsec.PolicyID(n + 1), Name: ipsec.PolicyName{Peer: fmt.Sprintf("peer-%06d", n), Child: "lan"},
		Local:  []selector.Selector{selector.FromPrefix(netip.MustParsePrefix("192.0.2.0/24"))},
		Remote: []selector.Selector{selector.FromPrefix(remote)},
	}
}

// newCrowd has n policies, without SAs.
func newCrowd(tb testing.TB, n int) *crowd {
	p, err := New(Config{Queues: []tun.Queue{newFakeQueue(tb)}, Ports: []netio.Port{&sinkPort{supply: newSupply()}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	c := &crowd{Plane: p, policies: make([]ipsec.Policy, n), sas: make([]ipsec.ChildSA, n)}
	for i := range c.policies {
		c.policies[i] = crowdPolicy(i)
	}
	if err := p.SetPolicies(c.policies); err != nil {
		tb.Fatal(err)
	}
	return c
}

// newPair makes a pair for the n-th policy.
func (c *crowd) newPair(tb testing.TB, n int) ipsec.ChildSA {
	spi, err := c.AllocSPI(0)
	if err != nil {
		tb.Fatal(err)
	}
	c.lastID++
	policy := &c.policies[n]
	remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), 4500)
	return ipsec.ChildSA{
		ID: c.lastID, Policy: policy.ID, SPIIn: spi, SPIOut: uint32(1000 + n), KeyIn: key(1), KeyOut: key(2), Cipher: gcm, ESN: true, ReplayWindow: 4096,
		Path: ipsec.NATPath(outerA, remote), LocalTS: policy.Local, RemoteTS: policy.Remote,
	}
}

// rekey gives the n-th policy a new pair in the place of the one that it has, if it has one.
func (c *crowd) rekey(tb testing.TB, n int) {
	sa := c.newPair(tb, n)
	if err := c.InstallInbound(sa); err != nil {
		tb.Fatal(err)
	}
	c.ActivateOutbound(sa.ID)
	if old := c.sas[n].ID; old != 0 {
		c.RemoveSA(old)
	}
	c.sas[n] = sa
}

// withPairs gives each policy its pair.
func (c *crowd) withPairs(tb testing.TB) *crowd {
	for n := range c.policies {
		c.rekey(tb, n)
	}
	return c
}

// heapInUse is what the heap holds that can be reached.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // finishes the sweep of the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Bounds of what one policy, and one Child SA pair with the replay window that is configured unless
// another is (4096 packets) and with a path of its own, take, in bytes.
const (
	mostPerPolicy = 2 << 10
	mostPerPair   = 4<<10 + 512
)

func TestMemoryOfPairs(t *testing.T) {
	const n = 4000
	nothing := newCrowd(t, 0)
	policies := make([]ipsec.Policy, n)
	for i := range policies {
		policies[i] = crowdPolicy(i)
	}
	nothing.policies, nothing.sas = policies, make([]ipsec.ChildSA, n)
	before := heapInUse()
	if err := nothing.SetPolicies(policies); err != nil {
		t.Fatal(err)
	}
	configured := heapInUse()
	for i := range n {
		sa := nothing.newPair(t, i)
		if err := nothing.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		nothing.ActivateOutbound(sa.ID)
	}
	up := heapInUse()
	perPolicy, perPair := (configured-before)/n, (up-configured)/n
	t.Logf("%d bytes for each policy, %d for each Child SA pair", perPolicy, perPair)
	if perPolicy > mostPerPolicy || perPair > mostPerPair {
		t.Errorf("want at most %d and %d", mostPerPolicy, mostPerPair)
	}
	runtime.KeepAlive(nothing)
}

// picks are the numbers of peers that packets come from: uniformly distributed, by Zipf's law, and
// of as few as there are in the small table.
func picks(n int) map[string][]uint32 {
	r := rand.New(rand.NewPCG(3, 4))
	zipf, place := rand.NewZipf(r, 1.1, 1, uint64(n-1)), r.Perm(n)
	out := map[string][]uint32{}
	for range 1 << 17 {
		out["uniform"] = append(out["uniform"], uint32(r.IntN(n)))
		out["zipf"] = append(out["zipf"], uint32(place[zipf.Uint64()]))
		out["few"] = append(out["few"], uint32(place[r.IntN(fewAndMany[0])]))
	}
	return out
}

// eachCrowd runs f for few and for many policies and each kind of traffic.
func eachCrowd(b *testing.B, f func(b *testing.B, c *crowd, peers []uint32)) {
	for _, n := range fewAndMany {
		c := newCrowd(b, n).withPairs(b)
		for _, kind := range []string{"uniform", "zipf", "few"} {
			peers := picks(n)[kind]
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) { f(b, c, peers) })
		}
	}
}

// BenchmarkFindScale looks SPIs up, each look-up waiting for the one before.
func BenchmarkFindScale(b *testing.B) {
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		spis := make([]uint32, len(peers))
		for i, n := range peers {
			spis[i] = c.sas[n].SPIIn
		}
		mask := len(peers) - 1
		i, lost := 0, 0
		b.ReportAllocs()
		for b.Loop() {
			p := c.sad.find(spis[i&mask])
			if p == nil {
				lost++
			}
			i += 1 + int(p.sa.ID>>62) // 1, but not before the look-up is done
		}
		if lost > 0 {
			b.Errorf("%d SPIs were not found", lost)
		}
	})
}

// BenchmarkFindBatchScale looks up the SPIs of a burst at a time; the figure is for each of them.
func BenchmarkFindBatchScale(b *testing.B) {
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		spis := make([]uint32, len(peers))
		for i, n := range peers {
			spis[i] = c.sas[n].SPIIn
		}
		var found [maxReceives]*pair
		lost := 0
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(found) {
			at := i & (len(spis) - 1)
			c.sad.findAll(spis[at:at+len(found)], found[:])
			for _, p := range found {
				if p == nil {
					lost++
				}
			}
		}
		if lost > 0 {
			b.Errorf("%d SPIs were not found", lost)
		}
	})
}

// BenchmarkSendScale carries packets of 64 octets to random peers: classification, SA, encryption,
// and a port that costs nothing.
func BenchmarkSendScale(b *testing.B) {
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		w := c.workers[0]
		w.now = time.Now()
		c.cfg.Ports[0].(*sinkPort).away.Store(1 << 62)
		buf := make([]byte, 256)
		template := udpPacket(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("10.0.0.1:1"), true, make([]byte, 36))
		sent := c.sent(peers)
		mask := len(peers) - 1
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			n := peers[i&mask]
			i++
			pkt := gso.Packet{Data: buf[tunHeadroom:][:copy(buf[tunHeadroom:], template)]}
			pkt.Data[17], pkt.Data[18], pkt.Data[19] = byte(n>>12), byte(n>>4), byte(n<<4)
			w.tx.outbound(&pkt, w.now)
		}
		if got := c.sent(peers) - sent; got < uint64(b.N) {
			b.Errorf("%d of %d packets were sent", got, b.N)
		}
	})
}

// sent is how many packets the SAs of the peers have sent.
func (c *crowd) sent(peers []uint32) (sum uint64) {
	distinct := slices.Compact(slices.Sorted(slices.Values(peers)))
	for _, n := range distinct {
		sum += c.pairs[c.sas[n].ID].out.Used().Packets
	}
	return sum
}

// BenchmarkRekeyScale is a rekeying as the plane sees it: an SPI, a pair installed and sent on, the
// old one removed.
func BenchmarkRekeyScale(b *testing.B) {
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			c.rekey(b, int(peers[i&(len(peers)-1)]))
			i++
		}
	})
}

// BenchmarkChangePolicyScale gives a policy other selectors.
func BenchmarkChangePolicyScale(b *testing.B) {
	eachCrowd(b, func(b *testing.B, c *crowd, peers []uint32) {
		i := 0
		tcp := c.policies[0].Local[0]
		tcp.Protocol = selector.ProtoTCP
		b.ReportAllocs()
		for b.Loop() {
			changed := c.policies[peers[(i/2)&(len(peers)-1)]]
			if i++; i%2 != 0 {
				changed.Local = []selector.Selector{tcp}
			}
			if err := c.ChangePolicies([]ipsec.Policy{changed}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPolicyStatsScale asks for the counts of every policy.
func BenchmarkPolicyStatsScale(b *testing.B) {
	for _, n := range fewAndMany {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n).withPairs(b)
			b.ReportAllocs()
			for b.Loop() {
				for i := range c.policies {
					if _, ok := c.PolicyStats(c.policies[i].ID); !ok {
						b.Fatal("a policy is missing")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/policy")
		})
	}
}

// BenchmarkPolicyCountsScale is what a scrape of the metrics asks of the packet path.
func BenchmarkPolicyCountsScale(b *testing.B) {
	for _, n := range fewAndMany {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n).withPairs(b)
			b.ReportAllocs()
			for b.Loop() {
				for i := range c.policies {
					if _, ok := c.PolicyCounts(c.policies[i].ID); !ok {
						b.Fatal("a policy is missing")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/policy")
		})
	}
}

// BenchmarkGCScale is one collection of garbage: how long it takes beside everything else, for how
// long it stops everything, and the longest that a packet waits meanwhile.
func BenchmarkGCScale(b *testing.B) {
	for _, n := range fewAndMany {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCrowd(b, n).withPairs(b)
			w := c.workers[0]
			c.cfg.Ports[0].(*sinkPort).away.Store(1 << 62)
			buf := make([]byte, 256)
			template := udpPacket(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("10.0.0.1:1"), true, make([]byte, 36))
			send := func() time.Duration {
				start := time.Now()
				pkt := gso.Packet{Data: buf[tunHeadroom:][:copy(buf[tunHeadroom:], template)]}
				w.tx.outbound(&pkt, start)
				return time.Since(start)
			}
			var before, after runtime.MemStats
			var longest time.Duration
			runtime.ReadMemStats(&before)
			for b.Loop() {
				done := make(chan struct{})
				go func() {
					runtime.GC()
					close(done)
				}()
				for over := false; !over; {
					longest = max(longest, send())
					select {
					case <-done:
						over = true
					default:
					}
				}
			}
			runtime.ReadMemStats(&after)
			cycles := float64(after.NumGC - before.NumGC)
			b.ReportMetric(float64(after.PauseTotalNs-before.PauseTotalNs)/cycles/1e3, "stopped-us/gc")
			b.ReportMetric(float64(longest.Microseconds()), "longest-send-us")
			b.ReportMetric(float64(after.HeapAlloc)/1e6, "heap-MB")
		})
	}
}
