package selector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// naiveLookup is what Table.Lookup says, in the plainest way.
func naiveLookup(entries []Entry[int], f *Flow) (value int, ok bool) {
	best, order := -1, uint64(0)
	for _, e := range entries {
		for _, r := range e.Remote {
			if !r.MatchesDest(f) || !anySource(f, e.Local) {
				continue
			}
			for _, p := range r.Prefixes() {
				if p.Contains(f.Dst) && (p.Bits() > best || p.Bits() == best && e.Order < order) {
					best, order, value, ok = p.Bits(), e.Order, e.Value, true
				}
			}
		}
	}
	return value, ok
}

// randomAddr is one of few, so that selectors and flows meet often.
func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	if v6 {
		a := [16]byte{0x20, 1, 0xd, 0xb8, 0, byte(r.IntN(3))}
		a[15] = byte(r.IntN(256))
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(256))})
}

func randomSelector(r *rand.Rand) Selector {
	v6 := r.IntN(3) == 0
	a, b := randomAddr(r, v6), randomAddr(r, v6)
	s := Selector{Start: a, End: b, EndPort: MaxPort}
	switch r.IntN(4) {
	case 0:
		s.End = a
	case 1:
		if s.End.Less(s.Start) {
			s.Start, s.End = s.End, s.Start
		}
	case 2:
		s = FromPrefix(netip.PrefixFrom(a, r.IntN(a.BitLen()+1)))
	default:
		s = FromPrefix(netip.PrefixFrom(a, a.BitLen()-8-r.IntN(16)))
	}
	protos := []uint8{ProtoAny, ProtoAny, ProtoTCP, ProtoUDP, ProtoICMP, 47}
	if v6 {
		protos[4] = ProtoICMPv6
	}
	s.Protocol = protos[r.IntN(len(protos))]
	if portKinds[s.Protocol] != portsNone {
		switch r.IntN(4) {
		case 0:
			s.StartPort, s.EndPort = MaxPort, 0
		case 1, 2:
			s.StartPort = uint16(r.IntN(8))
			s.EndPort = s.StartPort + uint16(r.IntN(4))
		}
	}
	return s
}

func randomFlow(r *rand.Rand) Flow {
	v6 := r.IntN(3) == 0
	f := Flow{Src: randomAddr(r, v6), Dst: randomAddr(r, v6), Protocol: []uint8{ProtoTCP, ProtoUDP, ProtoICMP, 47}[r.IntN(4)]}
	f.PortsUnknown = f.Protocol == 47 || r.IntN(4) == 0
	if !f.PortsUnknown {
		f.SrcPort, f.DstPort = uint16(r.IntN(12)), uint16(r.IntN(12))
		if f.Protocol == ProtoICMP {
			f.DstPort = f.SrcPort
		}
	}
	if v6 && f.Protocol == ProtoICMP {
		f.Protocol = ProtoICMPv6
	}
	return f
}

func randomSelectors(r *rand.Rand, most int) []Selector {
	list := make([]Selector, 1+r.IntN(most))
	for i := range list {
		list[i] = randomSelector(r)
	}
	return list
}

func randomEntry(r *rand.Rand, i int) Entry[int] {
	return Entry[int]{Order: uint64(i), Local: randomSelectors(r, 3), Remote: randomSelectors(r, 3), Value: i}
}

func checkTable(t *testing.T, table *Table[int], entries []Entry[int], f Flow) {
	t.Helper()
	got, gotOK := table.Lookup(&f)
	want, wantOK := naiveLookup(entries, &f)
	if got != want || gotOK != wantOK {
		t.Fatalf("Lookup(%+v) = %d, %v; want %d, %v of %v", f, got, gotOK, want, wantOK, entries)
	}
}

func TestTableAgainstNaive(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		var entries []Entry[int]
		for i := range 1 + r.IntN(40) {
			entries = append(entries, randomEntry(r, i))
		}
		table := NewTable(entries)
		for range 100 {
			checkTable(t, table, entries, randomFlow(r))
		}
	}
}

// A table changed step by step equals one made at once, and the steps leave earlier tables
// unchanged.
func TestTableChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	type version struct {
		table   *Table[int]
		entries []Entry[int]
	}
	now := version{table: NewTable[int](nil)}
	history := []version{now}
	for i := range 200 {
		entries := append([]Entry[int](nil), now.entries...)
		if n := len(entries); n > 0 && r.IntN(3) == 0 {
			k := r.IntN(n)
			now.table = now.table.Without(entries[k])
			entries = append(entries[:k], entries[k+1:]...)
		} else {
			e := randomEntry(r, (i*37)%200)
			now.table = now.table.With(e)
			entries = append(entries, e)
		}
		now.entries = entries
		history = append(history, now)
		if now.table.Len() != len(entries) {
			t.Fatalf("Len() = %d, want %d", now.table.Len(), len(entries))
		}
	}
	for _, v := range history {
		for range 60 {
			checkTable(t, v.table, v.entries, randomFlow(r))
		}
	}
}

func TestTableWithoutUnknown(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	e := randomEntry(r, 1)
	table := NewTable([]Entry[int]{e})
	other := e
	other.Order = 2
	if got := table.Without(other); got != table {
		t.Error("Without of an entry that is not there made a new table")
	}
	if got := table.Without(e); got.Len() != 0 {
		t.Errorf("Len() = %d after the only entry went", got.Len())
	}
}

func TestTablePrefersLongestPrefixThenOrder(t *testing.T) {
	entry := func(order uint64, remote string, value int) Entry[int] {
		return Entry[int]{Order: order, Local: []Selector{All(false), All(true)}, Remote: []Selector{mustParse(t, remote)}, Value: value}
	}
	table := NewTable([]Entry[int]{
		entry(0, "0.0.0.0/0", 10), entry(1, "10.0.0.0/8", 11), entry(3, "10.2.0.0/16 tcp/443", 12),
		entry(2, "10.2.0.0/16", 13), entry(4, "10.2.0.0/16", 14), entry(5, "10.2.0.0/16 tcp/22", 15),
	})
	for _, c := range []struct {
		dst   string
		proto uint8
		port  uint16
		want  int
	}{
		{"192.0.2.1", ProtoUDP, 53, 10},
		{"10.9.9.9", ProtoTCP, 443, 11},
		{"10.2.0.1", ProtoTCP, 443, 13}, // order 2 comes before order 3
		{"10.2.0.1", ProtoTCP, 22, 13},
	} {
		f := Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr(c.dst), Protocol: c.proto, SrcPort: 40000, DstPort: c.port}
		if got, ok := table.Lookup(&f); !ok || got != c.want {
			t.Errorf("Lookup(%s %d/%d) = %d, %v, want %d", c.dst, c.proto, c.port, got, ok, c.want)
		}
	}
	f := Flow{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), Protocol: ProtoUDP}
	if got, ok := table.Lookup(&f); ok {
		t.Errorf("an IPv6 flow matched %d", got)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var entries []Entry[int]
	for i := range 300 {
		entries = append(entries, randomEntry(r, i))
	}
	table := NewTable(entries)
	flows := make([]Flow, 64)
	for i := range flows {
		flows[i] = randomFlow(r)
	}
	if n := testing.AllocsPerRun(100, func() {
		for i := range flows {
			table.Lookup(&flows[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations in 64 look-ups, want 0", n)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		var entries []Entry[int]
		table := NewTable[int](nil)
		for i := range r.IntN(12) {
			entries = append(entries, randomEntry(r, i))
			table = table.With(entries[i])
		}
		for range 20 {
			checkTable(t, table, entries, randomFlow(r))
		}
	})
}

// manyEntries are n policies with a network of their own each.
func manyEntries(n int) []Entry[int] {
	entries := make([]Entry[int], n)
	for i := range entries {
		remote := FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28))
		entries[i] = Entry[int]{Order: uint64(i), Local: []Selector{All(false)}, Remote: []Selector{remote}, Value: i}
	}
	return entries
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			entries := manyEntries(n)
			table := NewTable(entries)
			f := Flow{Src: netip.MustParseAddr("192.0.2.1"), Dst: entries[n/2].Remote[0].Start, Protocol: ProtoTCP}
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(&f)
			}
		})
	}
}

func BenchmarkChange(b *testing.B) {
	for _, n := range []int{10, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			entries := manyEntries(n)
			table := NewTable(entries)
			b.ReportAllocs()
			for b.Loop() {
				table = table.Without(entries[n/2]).With(entries[n/2])
			}
		})
	}
}

// One entry may have several selectors for one network; an invalid one makes no rule.
func TestTableEntryWithOneNetworkTwice(t *testing.T) {
	e := Entry[int]{Order: 5, Local: []Selector{All(false)}, Remote: append(mustParseAll(t, "10.2.0.0/16 tcp/80", "10.2.0.0/16 udp/53"), Selector{}), Value: 1}
	other := Entry[int]{Order: 6, Local: e.Local, Remote: mustParseAll(t, "10.2.0.0/16"), Value: 2}
	for _, table := range []*Table[int]{NewTable([]Entry[int]{other, e}), NewTable[int](nil).With(other).With(e), NewTable[int](nil).With(e).With(other)} {
		for _, step := range []struct {
			table          *Table[int]
			web, name, ssh int
		}{{table, 1, 1, 2}, {table.Without(e), 2, 2, 2}, {table.Without(other), 1, 1, 0}} {
			for _, c := range []struct {
				proto uint8
				port  uint16
				want  int
			}{{ProtoTCP, 80, step.web}, {ProtoUDP, 53, step.name}, {ProtoTCP, 22, step.ssh}} {
				f := Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1"), Protocol: c.proto, DstPort: c.port}
				if got, ok := step.table.Lookup(&f); got != c.want || ok != (c.want != 0) {
					t.Errorf("%d/%d: %d, %v, want %d", c.proto, c.port, got, ok, c.want)
				}
			}
		}
	}
}

// TestWithoutSelectorsOfOnePrefix: all selectors of an entry go, those behind two of one prefix as
// well, whether another entry has that prefix or not.
func TestWithoutSelectorsOfOnePrefix(t *testing.T) {
	limitedTo := func(protocol uint8, prefix string) Selector {
		s := FromPrefix(netip.MustParsePrefix(prefix))
		s.Protocol = protocol
		return s
	}
	local := []Selector{All(false)}
	gone := Entry[string]{Order: 2, Local: local, Value: "gone",
		Remote: []Selector{limitedTo(ProtoTCP, "10.2.0.0/16"), limitedTo(ProtoUDP, "10.2.0.0/16"), limitedTo(ProtoTCP, "10.3.0.0/16")}}
	stays := Entry[string]{Order: 1, Local: local, Value: "stays", Remote: []Selector{limitedTo(ProtoICMP, "10.2.0.0/16")}}
	for _, others := range [][]Entry[string]{nil, {stays}} {
		table := NewTable(append([]Entry[string]{gone}, others...)).Without(gone)
		if table.Len() != len(others) {
			t.Errorf("%d entries, want %d", table.Len(), len(others))
		}
		for _, protocol := range []uint8{ProtoTCP, ProtoUDP, ProtoICMP} {
			for _, dst := range []string{"10.2.0.1", "10.3.0.1"} {
				f := Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr(dst), Protocol: protocol}
				want := len(others) == 1 && protocol == ProtoICMP && dst == "10.2.0.1"
				if got, ok := table.Lookup(&f); ok != want {
					t.Errorf("protocol %d to %s: %q, %v", protocol, dst, got, ok)
				}
			}
		}
	}
}
