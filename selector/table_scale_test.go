package selector

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The numbers of policies in the scale benchmarks: a look-up among many may be at most twice as
// slow as among few.
const (
	fewPolicies  = 10
	manyPolicies = 100000
)

// entries6 are n policies with a /64 of its own each.
func entries6(n int) []Entry[int] {
	entries := make([]Entry[int], n)
	for i := range entries {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(a[4:], uint32(i))
		entries[i] = Entry[int]{Order: uint64(i + 1), Local: []Selector{All(true)}, Remote: []Selector{FromPrefix(netip.PrefixFrom(netip.AddrFrom16(a), 64))}, Value: i}
	}
	return entries
}

// host4 and host6 are an address in the network of entry i of manyEntries and of entries6.
func host4(i uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i<<4) | byte(i&15)})
}

func host6(i uint32) netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)}
	binary.BigEndian.PutUint32(a[4:], i)
	return netip.AddrFrom16(a)
}

// BenchmarkLookupScale looks up flows to random peers. Each look-up waits for the one before, as
// packets do. The peers are distributed uniformly, so that among many a peer's policy is in none of
// the core's own caches; by Zipf's law, as traffic is; or as few as in the small table.
func BenchmarkLookupScale(b *testing.B) {
	for _, family := range []struct {
		name    string
		entries func(int) []Entry[int]
		host    func(uint32) netip.Addr
		src     string
	}{{"v4", manyEntries, host4, "192.0.2.1"}, {"v6", entries6, host6, "2001:db8:ffff::1"}} {
		for _, n := range []int{fewPolicies, manyPolicies} {
			table := NewTable(family.entries(n))
			r := rand.New(rand.NewPCG(3, 4))
			zipf, place := rand.NewZipf(r, 1.1, 1, uint64(n-1)), r.Perm(n)
			for _, traffic := range []struct {
				name string
				pick func() int
			}{
				{"uniform", func() int { return r.IntN(n) }},
				{"zipf", func() int { return place[zipf.Uint64()] }},
				{"few", func() int { return place[r.IntN(fewPolicies)] }},
			} {
				peers := make([]uint32, 1<<17)
				for i := range peers {
					peers[i] = uint32(traffic.pick())
				}
				b.Run(fmt.Sprintf("%s/%s/%d", family.name, traffic.name, n), func(b *testing.B) {
					benchmarkLookup(b, table, netip.MustParseAddr(family.src), peers, family.host)
				})
			}
		}
	}
}

func benchmarkLookup(b *testing.B, table *Table[int], src netip.Addr, peers []uint32, host func(uint32) netip.Addr) {
	f := Flow{Src: src, Protocol: ProtoTCP, SrcPort: 40000, DstPort: 443}
	mask := len(peers) - 1
	i, lost := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		f.Dst = host(peers[i&mask])
		v, ok := table.Lookup(&f)
		if !ok {
			lost++
		}
		i += 1 + v>>30 // 1, but not before the look-up is done
	}
	if lost > 0 {
		b.Errorf("%d flows matched nothing", lost)
	}
}
