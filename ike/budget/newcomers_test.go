package budget

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// fill has n addresses, the i-th of them from(i), begin as many half-open IKE SAs as they may, and
// returns how many there are.
func (c *Newcomers) fill(n, limit int, from func(i int) netip.Addr) int {
	for i := range n {
		for a := from(i); c.Admits(a, 1, false, limit); {
			c.Add(a, 1)
		}
	}
	return c.Count()
}

func TestHalfOpenShares(t *testing.T) {
	const limit = 4096
	addr := func(format string) func(i int) netip.Addr {
		return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i)) }
	}
	for _, c := range []struct {
		name string
		n    int
		from func(i int) netip.Addr
		want int
	}{
		{"one address", 1, addr("192.0.2.%d"), limit / 64},
		{"one /24", 256, addr("192.0.2.%d"), limit / 16},
		{"16 networks, an address of each", 16, addr("10.%d.0.1"), limit / 4},
		{"all addresses of one /64", 200, addr("2001:db8::%x"), limit / 64},
		{"an IPv6 /60", 16, addr("2001:db8:0:%x::1"), limit / 16},
		{"an IPv6 /48", 200, addr("2001:db8:0:%x::1"), limit / 16},
		{"everybody", 200, addr("10.%d.0.1"), limit - limit/8},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table Newcomers
			if got := table.fill(c.n, limit, c.from); got != c.want {
				t.Fatalf("strangers hold %d, want %d", got, c.want)
			}
			if !table.Charged(c.from(0)) || table.Charged(netip.MustParseAddr("198.51.100.9")) {
				t.Error("it is not known who is charged")
			}
			stranger, known := c.from(0), netip.MustParseAddr("198.51.100.7")
			if table.Admits(stranger, 1, false, limit) || !table.Admits(known, 1, true, limit) {
				t.Error("a configured address must still be admitted, and the strangers must not")
			}
			table.recent.add(known)
			n := 0
			for ; table.Admits(known, 1, false, limit); n++ {
				table.Add(known, 1)
			}
			if want := min(limit/16, limit-c.want); n != want {
				t.Errorf("an address that lately had an IKE SA holds %d, want %d", n, want)
			}
		})
	}
}

// TestHalfOpenOctets has addresses charge octets until they are refused.
func TestHalfOpenOctets(t *testing.T) {
	const limit, piece = 1 << 20, 4 << 10
	for _, c := range []struct {
		name  string
		from  func(i int) netip.Addr
		known bool
		want  int
	}{
		{"a stranger", func(int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }, false, 128 << 10},
		{"a network", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }, false, 512 << 10},
		{"strangers", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, byte(i), 0, 1}) }, false, 8 << 20},
		{"a configured address", func(int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }, true, 768 << 10},
		{"configured addresses", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }, true, 12 << 20},
	} {
		var table Newcomers
		var from []netip.Addr
		var places []Place
		refused := 0
		for i := 0; refused < 300; i++ {
			a := c.from(i)
			if !table.Admits(a, piece, c.known, limit) {
				refused++
				continue
			}
			from, places = append(from, a), append(places, table.Add(a, piece))
		}
		if table.Octets() != c.want {
			t.Errorf("%s: %d octets, want %d", c.name, table.Octets(), c.want)
		}
		last := len(places) - 1
		if table.Hold(from[last], &places[last], piece+1, c.known) || places[last] != piece {
			t.Errorf("%s: one more octet is charged", c.name)
		}
		if !table.Hold(from[last], &places[last], piece-1, c.known) || !table.Hold(from[last], &places[last], piece, c.known) {
			t.Errorf("%s: what was given up is not free", c.name)
		}
		for i := range places {
			table.Remove(from[i], &places[i])
		}
		if table.Octets() != 0 || len(table.hosts)+len(table.networks) != 0 {
			t.Errorf("%s: %d octets stay charged", c.name, table.Octets())
		}
	}
}

// TestHalfOpenEnds counts down to nothing.
func TestHalfOpenEnds(t *testing.T) {
	var table Newcomers
	var from []netip.Addr
	var places []Place
	for _, text := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		a := netip.MustParseAddr(text)
		from, places = append(from, a), append(places, table.Add(a, 100))
	}
	for range 2 { // the second time does nothing
		for i := range places {
			table.Remove(from[i], &places[i])
		}
	}
	if table.all != (tally{}) || len(table.hosts)+len(table.networks) != 0 {
		t.Errorf("%v, %v and %v stay", table.all, table.hosts, table.networks)
	}
	if table.Hold(from[0], &places[0], 1, true) {
		t.Error("what was removed is charged again")
	}
}

func TestRecentAddrs(t *testing.T) {
	const recent = 4096
	var r recentAddrs
	nth := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range recent + 2 {
		r.add(nth(i))
		r.add(nth(i))
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, recent + 1: true, recent + 2: false} {
		if r.has(nth(i)) != want {
			t.Errorf("address %d is remembered: %v", i, !want)
		}
	}
	if len(r.set) != recent || len(r.ring) != recent {
		t.Errorf("%d and %d addresses are kept", len(r.set), len(r.ring))
	}
}

// TestHold: where strangers have 8 MB in all, known addresses have 4 MB more.
func TestHold(t *testing.T) {
	const kilobyte = 1 << 10
	var c Newcomers
	for i := range 64 {
		c.Add(netip.AddrFrom4([4]byte{100, byte(i), 0, 1}), 128*kilobyte)
	}
	stranger, known, recent := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")
	c.Authenticated(recent)
	if !c.Knows(recent) || c.Knows(known) {
		t.Error("who authenticated is confused")
	}
	for _, tt := range []struct {
		from       netip.Addr
		configured bool
		octets     int
		want       bool
	}{
		{stranger, false, 1, true}, // what it was added with is not asked for
		{stranger, false, 2, false},
		{known, true, 768 * kilobyte, true},
		{known, true, 768*kilobyte + 1, false},
		{recent, false, 768 * kilobyte, true},
		{recent, false, 768*kilobyte + 1, false},
	} {
		p := c.Add(tt.from, 1)
		before := c.Octets()
		if got := c.Hold(tt.from, &p, tt.octets, tt.configured); got != tt.want || got && c.Octets() != before+tt.octets-1 || !got && c.Octets() != before {
			t.Errorf("%v, %d octets: %v, and %d are held", tt.from, tt.octets, got, c.Octets())
		}
		c.Remove(tt.from, &p)
	}
}

// TestBusy: cookies are demanded from a number of half-open IKE SAs on, or when two computations
// are under way.
func TestBusy(t *testing.T) {
	var c Newcomers
	from := netip.MustParseAddr("192.0.2.1")
	p := c.Add(from, 1)
	if !c.Busy(1) || c.Busy(2) {
		t.Error("the threshold is another number")
	}
	c.Computing(from, 1, false)
	if c.Busy(2) {
		t.Error("one computation is too much")
	}
	c.Computing(from, 1, false)
	if !c.Busy(2) {
		t.Error("two computations are not too much")
	}
	c.Computing(from, -1, false)
	c.Remove(from, &p)
	if c.Busy(1) || c.Count() != 0 {
		t.Error("it stays busy")
	}
}

// TestDearComputations: strangers cause a few of them at a time, whatever quick ones are under way.
// Hosts that are configured, or that lately had an IKE SA, may cause some more.
func TestDearComputations(t *testing.T) {
	nth := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i), 1}) }
	stranger, friend := nth(100), netip.MustParseAddr("198.51.100.1")
	var c Newcomers
	c.Authenticated(friend)
	for range 100 {
		c.Computing(stranger, 1, false)
	}
	for i := range maxDear {
		if !c.AdmitsDear(nth(i), false) {
			t.Fatalf("%d are too many", i)
		}
		c.Computing(nth(i), 1, true)
	}
	if c.AdmitsDear(stranger, false) || !c.AdmitsDear(stranger, true) || !c.AdmitsDear(friend, false) {
		t.Error("the limit is not that of strangers")
	}
	for range maxDearOfHost {
		c.Computing(friend, 1, true)
	}
	if c.AdmitsDear(friend, false) || c.AdmitsDear(friend, true) || !c.AdmitsDear(stranger, true) {
		t.Error("the limit of a known host is not its own")
	}
	for range maxDearOfHost {
		c.Computing(friend, -1, true)
	}
	c.Computing(stranger, -1, false)
	if c.AdmitsDear(stranger, false) {
		t.Error("the end of a quick one lets a stranger in")
	}
	if c.Computing(nth(0), -1, true); !c.AdmitsDear(stranger, false) {
		t.Error("the end of a dear one does not let a stranger in")
	}
	for i := range maxDear - 1 {
		c.Computing(nth(i+1), -1, true)
	}
	if d := &c.dear; d.all != 0 || len(d.hosts)+len(d.networks) != 0 {
		t.Errorf("%+v stay", d)
	}
}

// TestDearComputationsOfANetwork: one network, a /24 or a /48, has a share of them.
func TestDearComputationsOfANetwork(t *testing.T) {
	for _, format := range []string{"192.0.2.%d", "2001:db8:0:%x::1", "2001:db8::%x"} {
		var c Newcomers
		n := 0
		for i := range 100 {
			if a := netip.MustParseAddr(fmt.Sprintf(format, i)); c.AdmitsDear(a, false) {
				c.Computing(a, 1, true)
				n++
			}
		}
		same := netip.MustParseAddr(fmt.Sprintf(format, 200))
		c.Authenticated(same)
		switch {
		case n != maxDearOfNet:
			t.Errorf("%s: strangers hold %d, want %d", format, n, maxDearOfNet)
		case !c.AdmitsDear(netip.MustParseAddr("203.0.113.1"), false), !c.AdmitsDear(netip.MustParseAddr("2001:db8:1::1"), false):
			t.Errorf("%s: strangers of another network are kept out", format)
		case strings.Contains(format, "::%x"): // known hosts are addresses
		case !c.AdmitsDear(same, false):
			t.Errorf("%s: a known host of the network is kept out", format)
		}
	}
}

// TestSmallLimits: with few half-open IKE SAs, each host and each network may still have one.
func TestSmallLimits(t *testing.T) {
	a, same, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")
	third := netip.MustParseAddr("203.0.113.1")
	var c Newcomers
	if !c.Admits(a, 1, false, 8) {
		t.Fatal("the first is refused")
	}
	c.Add(a, 1)
	if c.Admits(a, 1, false, 8) || c.Admits(same, 1, false, 8) || c.Admits(a, 1, true, 8) || !c.Admits(other, 1, false, 8) {
		t.Error("a host, or a network, has another number than one")
	}
	c.Add(other, 1)
	if c.Admits(third, 1, true, 2) || !c.Admits(third, 1, true, 3) {
		t.Error("a configured address has a place beyond the limit, or none within it")
	}
	if !SameNetwork(a, same) || SameHost(a, same) || SameNetwork(a, other) {
		t.Error("networks are confused")
	}
}

// TestTalliesOfHosts compares what hosts and networks are charged with plain sums, while their
// half-open IKE SAs come, change and go. A host alone in its network needs no tally of its own.
func TestTalliesOfHosts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var addrs []netip.Addr
	for _, format := range []string{"192.0.2.%d", "192.0.3.%d", "2001:db8::%d:0:0:0:1", "2001:db8:1:%d::1"} {
		for i := range 4 {
			addrs = append(addrs, netip.MustParseAddr(fmt.Sprintf(format, i*i)))
		}
	}
	type charge struct {
		from  netip.Addr
		place Place
	}
	var c Newcomers
	var held []charge
	for step := range 5000 {
		grow := step/500%2 == 0
		switch i := r.IntN(len(held) + 1); {
		case i == len(held) || grow && r.IntN(3) > 0:
			from := addrs[r.IntN(len(addrs))]
			held = append(held, charge{from, c.Add(from, 1+r.IntN(5000))})
		case r.IntN(4) == 0:
			if octets := 1 + r.IntN(5000); c.Hold(held[i].from, &held[i].place, octets, true) != (int(held[i].place) == octets) {
				t.Fatalf("step %d: Hold does not do what it reports", step)
			}
		default:
			c.Remove(held[i].from, &held[i].place)
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		hosts, networks := map[uint64]tally{}, map[uint64]tally{}
		for _, h := range held {
			by := tally{1, int32(h.place)}
			host, network := hosts[hostKey(h.from)], networks[networkKey(h.from)]
			host.add(by)
			network.add(by)
			hosts[hostKey(h.from)], networks[networkKey(h.from)] = host, network
		}
		for _, a := range addrs {
			if got, want := c.host(a), hosts[hostKey(a)]; got != want {
				t.Fatalf("step %d: %v is charged %v, want %v", step, a, got, want)
			}
			if got, want := c.networks[networkKey(a)].tally(), networks[networkKey(a)]; got != want {
				t.Fatalf("step %d: the network of %v is charged %v, want %v", step, a, got, want)
			}
		}
	}
	for i := range held {
		c.Remove(held[i].from, &held[i].place)
	}
	if len(c.hosts)+len(c.networks) > 0 {
		t.Errorf("%v and %v stay", c.hosts, c.networks)
	}
	for i := range 100 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i), 7})
		c.Add(a, 1)
		c.Add(a, 1)
	}
	if len(c.hosts) > 0 || len(c.networks) != 100 {
		t.Errorf("%d tallies of hosts, %d of networks", len(c.hosts), len(c.networks))
	}
}

// TestMaxCount: no more are admitted than a tally counts, whatever limit is given.
func TestMaxCount(t *testing.T) {
	var c Newcomers
	for i := range maxCount {
		c.Add(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	if known := netip.MustParseAddr("192.0.2.1"); c.Admits(known, 1, true, 1<<20) {
		t.Errorf("another one is admitted beside %d", c.Count())
	}
}
