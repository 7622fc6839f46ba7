package guard

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

func rangesOf(list ...string) (out []protect.Range) {
	for _, p := range pfx(list...) {
		out = append(out, protect.RangeOf(p))
	}
	sortRanges(out)
	return out
}

func TestCover(t *testing.T) {
	for _, c := range []struct{ local, want []string }{
		{nil, nil},
		{[]string{"10.1.0.0/24"}, []string{"10.1.0.0/24"}},
		{[]string{"192.0.2.1/32"}, []string{"192.0.2.1/32"}},
		{[]string{"10.1.0.0/24", "10.1.2.0/25"}, []string{"10.1.0.0/22"}},
		{[]string{"10.1.0.0/24", "10.129.0.0/24"}, []string{"10.0.0.0/8"}},
		{[]string{"10.1.0.0/24", "11.1.0.0/24"}, []string{"10.1.0.0/24", "11.1.0.0/24"}}, // 7 bits in common
		{[]string{"192.168.7.0/24", "10.1.0.0/24"}, []string{"10.1.0.0/24", "192.168.7.0/24"}},
		{[]string{"10.1.0.0/24", "172.16.0.0/12", "192.168.7.0/24"}, []string{"10.1.0.0/24", "128.0.0.0/1"}},
		{[]string{"0.0.0.0/0"}, []string{"0.0.0.0/0"}},
		{[]string{"fd01::/64", "fd01:0:0:1::/64"}, []string{"fd01::/63"}},
		{[]string{"2001:db8::/64", "fd01::/64"}, []string{"2001:db8::/64", "fd01::/64"}},
	} {
		if got := cover(rangesOf(c.local...)); !slices.Equal(got, pfx(c.want...)) {
			t.Errorf("%v: got %v, want %v", c.local, got, c.want)
		}
	}
	across := []protect.Range{{First: netip.MustParseAddr("127.0.0.0"), Last: netip.MustParseAddr("128.0.0.0")}, rangesOf("192.0.2.0/24")[0]}
	if got := cover(across); !slices.Equal(got, pfx("0.0.0.0/0")) {
		t.Errorf("an interval across the bit: got %v", got)
	}
}

// The prefixes contain every address of any local networks.
func TestCoverHoldsAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 8))
	for range 2000 {
		v6 := random.IntN(2) == 1
		var locals []owned
		for range 1 + random.IntN(5) {
			var raw [16]byte
			for i := range raw {
				raw[i] = byte(random.Uint32()) >> random.IntN(8) << random.IntN(8)
			}
			a := netip.AddrFrom16(raw)
			if !v6 {
				a = netip.AddrFrom4([4]byte(raw[:4]))
			}
			locals = append(locals, owned{netip.PrefixFrom(a, random.IntN(a.BitLen()+1)).Masked(), random.IntN(3)})
		}
		var list []protect.Range
		for _, p := range cut(locals) {
			list = append(list, p.Range)
		}
		got := cover(list)
		for _, r := range list {
			if !slices.ContainsFunc(got, func(p netip.Prefix) bool { return p.Contains(r.First) && p.Contains(r.Last) }) {
				t.Fatalf("%v is in none of %v", r, got)
			}
		}
		if len(got) > 2 {
			t.Fatalf("%v are more than two", got)
		}
	}
}

// The prefixes that are compared first follow the policies.
func TestInboundFollowsChanges(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	lan := policy("lan", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64"))
	lists := [][]protect.Policy{
		{lan},
		{lan, policy("far", pfx("203.0.113.0/24", "fd01:0:1::/64"), pfx("10.2.0.0/24", "fd02::/64"))},
		{lan, policy("wide", pfx("128.0.0.0/1", "fd01::8000:0:0:0/65"), pfx("10.3.0.0/24", "fd02::/64"))},
		{policy("two", pfx("10.1.0.254/31", "fd01::4/127"), pfx("10.2.0.0/24", "fd02::/64"))},
		{policy("all", pfx("0.0.0.0/0", "::/0"), pfx("10.2.0.0/24", "fd02::/64"))},
		{lan},
	}
	g := openIn(t, s.gw, testConfig(), set.Whole())
	for i, list := range lists {
		var gone []protect.ID
		if i > 0 {
			for _, p := range lists[i-1] {
				gone = append(gone, p.ID)
			}
		}
		if err := g.Apply(set.Change(list, gone)); err != nil {
			t.Fatal(err)
		}
		want := g.Stats().In
		for _, from := range []string{"10.2.0.1", "10.3.0.1", "fd02::1"} {
			to := []string{"10.1.0.0", "10.1.0.255", "10.1.1.0", "203.0.113.0", "203.0.113.255", "128.0.0.1", "192.0.2.1"}
			if from == "fd02::1" {
				to = []string{"fd01::5", "fd01::ffff:ffff:ffff:ffff", "fd01:0:1::5", "fd01:0:2::5", "fd01:0:0:1::5", "2001:db8::1"}
			}
			for _, dst := range to {
				protected := slices.ContainsFunc(list, func(p protect.Policy) bool {
					in := func(list []netip.Prefix, a string) bool {
						return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(a)) })
					}
					return in(p.Local, dst) && in(p.Remote, from)
				})
				if protected {
					want++
				}
				send(t, s.outside, udp(from, dst, 1, 7, 1))
			}
		}
		if wantIn(t, s, g, want); t.Failed() {
			t.Fatalf("policies %d: %v", i, list)
		}
	}
}

// Addresses are compared before the family. Octets at their offsets in a packet of the other family
// have no effect.
func TestInboundOfTheOtherFamily(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	want := g.Stats().In
	arrived := sniff(t, s.inside, "lan")
	addr := netip.MustParseAddr
	// IPv4 has its source and destination where IPv6 has octets 4 to 11 of the source, and ends 4
	// octets before IPv6's destination.
	behind := append([]byte{0, 1, 0, 7, 0xfd, 1}, make([]byte, 6)...)
	send(t, s.outside,
		ip(addr("fd02:0:0:0:a01:5::"), addr("fd01::5"), unix.IPPROTO_UDP, 64, udpHeader(1, 7, payload(1))),
		ip(addr("10.2.0.1"), addr("10.1.0.5"), 253, 64, append(behind[:12:12], payload(2)...)),
		ip(addr("10.3.0.1"), addr("10.1.0.5"), 253, 64, append(behind[:12:12], payload(3)...)),
		ip(addr("fd09:0:a02:1:a01:5::"), addr("fd01::5"), unix.IPPROTO_UDP, 64, udpHeader(1, 7, payload(4))),
	)
	arrived.await(t, 3)
	arrived.await(t, 4)
	wantIn(t, s, g, want+2)
	if arrived.has(1) || arrived.has(2) {
		t.Error("what looks like an address let a packet in")
	}
}

// Packets are dropped also while the rules before the look-up are replaced.
func TestInboundWhileRulesChange(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{policy("lan", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64"))}, nil))
	arrived := sniff(t, s.inside, "lan")
	before := g.Stats().In
	stop, sent := make(chan struct{}), make(chan uint64)
	go func() {
		for n := uint64(0); ; n += 2 {
			select {
			case <-stop:
				sent <- n
				return
			default:
				send(t, s.outside, udp("10.2.0.1", "10.1.0.5", 1, 7, 1), udp("fd02::1", "fd01::5", 1, 7, 1))
			}
		}
	}()
	far := policy("far", pfx("203.0.113.0/24", "2001:db8:7::/64"), pfx("10.2.0.0/24", "fd02::/64"))
	for range 100 {
		if err := g.Apply(set.Change([]protect.Policy{far}, nil)); err != nil {
			t.Error(err)
		}
		if err := g.Apply(set.Change(nil, []protect.ID{far.ID})); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	n := <-sent
	wantIn(t, s, g, before+n)
	if n == 0 || arrived.has(1) {
		t.Errorf("of %d packets some were believed", n)
	}
}
