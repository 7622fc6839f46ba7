package budget

import (
	"fmt"
	"net/netip"
	"testing"
)

// fill has n addresses, the i-th of them from(i), begin as many half-open IKE SAs as they may, and
// returns how many there are.
func (c *Newcomers) fill(n, limit int, from func(i int) netip.Addr) int {
	for i := range n {
		for a := from(i); c.Admits(a, false, limit); {
			c.Add(a)
		}
	}
	return c.count
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
			stranger, known := c.from(0), netip.MustParseAddr("198.51.100.7")
			if table.Admits(stranger, false, limit) || !table.Admits(known, true, limit) {
				t.Error("a configured address must still be admitted, and the strangers must not")
			}
			table.recent.add(known)
			n := 0
			for ; table.Admits(known, false, limit); n++ {
				table.Add(known)
			}
			if want := min(limit/16, limit-c.want); n != want {
				t.Errorf("an address that lately had an IKE SA holds %d, want %d", n, want)
			}
		})
	}
}

// TestHalfOpenEnds counts down to nothing.
func TestHalfOpenEnds(t *testing.T) {
	var table Newcomers
	var list []*Place
	for _, text := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		p := table.Add(netip.MustParseAddr(text))
		list = append(list, &p)
	}
	for _, p := range append(list, list...) { // the second time does nothing
		table.Remove(p)
	}
	if table.count != 0 || len(table.from) != 0 {
		t.Errorf("%d IKE SAs and %v stay", table.count, table.from)
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

// TestHold: strangers may hold 8 MB of fragments in all, and known addresses 4 MB more. What
// exceeds that is not charged, and what an IKE SA held is free when it ends.
func TestHold(t *testing.T) {
	const megabyte = 1 << 20
	var c Newcomers
	place := func(text string) *Place {
		p := c.Add(netip.MustParseAddr(text))
		return &p
	}
	stranger, other, known, recent := place("192.0.2.1"), place("192.0.2.2"), place("198.51.100.1"), place("198.51.100.2")
	c.Authenticated(recent.From())
	hold := func(what string, p *Place, octets int, configured, want bool, total int) {
		t.Helper()
		if got := c.Hold(p, octets, configured); got != want || c.Octets() != total {
			t.Errorf("%s: %v, and %d octets are held; want %v and %d", what, got, c.Octets(), want, total)
		}
	}
	hold("a stranger", stranger, 3*megabyte, false, true, 3*megabyte)
	hold("the stranger, more", stranger, 8*megabyte, false, true, 8*megabyte)
	hold("another stranger", other, 1, false, false, 8*megabyte)
	hold("a configured address", known, 4*megabyte, true, true, 12*megabyte)
	hold("one that lately had an IKE SA", recent, 1, false, false, 12*megabyte)
	hold("the configured one, less", known, megabyte, true, true, 9*megabyte)
	hold("one that lately had an IKE SA, again", recent, 3*megabyte, false, true, 12*megabyte)
	hold("a stranger that holds too much then", stranger, 8*megabyte+1, false, false, 4*megabyte)
	c.Remove(known)
	c.Remove(recent)
	if c.Octets() != 0 || c.Count() != 2 {
		t.Errorf("%d octets of %d are held", c.Octets(), c.Count())
	}
	if !c.Knows(netip.MustParseAddr("198.51.100.2")) || c.Knows(netip.MustParseAddr("198.51.100.1")) {
		t.Error("who authenticated is confused")
	}
}

// TestBusy: cookies are demanded from a number of half-open IKE SAs on, or when two computations
// are under way.
func TestBusy(t *testing.T) {
	var c Newcomers
	p := c.Add(netip.MustParseAddr("192.0.2.1"))
	if !c.Busy(1) || c.Busy(2) {
		t.Error("the threshold is another number")
	}
	c.Computing(1)
	if c.Busy(2) {
		t.Error("one computation is too much")
	}
	c.Computing(1)
	if !c.Busy(2) {
		t.Error("two computations are not too much")
	}
	c.Computing(-1)
	c.Remove(&p)
	if c.Busy(1) || c.Count() != 0 {
		t.Error("it stays busy")
	}
}

// TestSmallLimits: with few half-open IKE SAs, each host and each network may still have one.
func TestSmallLimits(t *testing.T) {
	a, same, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")
	var c Newcomers
	if !c.Admits(a, false, 8) {
		t.Fatal("the first is refused")
	}
	c.Add(a)
	if c.Admits(a, false, 8) || c.Admits(same, false, 8) || c.Admits(a, true, 8) || !c.Admits(other, false, 8) {
		t.Error("a host, or a network, has another number than one")
	}
	if !SameNetwork(a, same) || SameHost(a, same) || SameNetwork(a, other) {
		t.Error("networks are confused")
	}
}
