package child

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// pairSettings are of two networks on each side, and one of IPv6.
func pairSettings(mode ChildrenMode) Settings {
	return Settings{
		Name: "lan", Children: mode,
		Local:  networks("10.1.0.0/24", "10.1.8.0/24", "2001:db8:1::/64"),
		Remote: networks("10.2.0.0/24", "10.2.8.0/24", "2001:db8:2::/64"),
	}
}

func flowOf(src, dst string) *selector.Flow {
	return &selector.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: 17}
}

// TestSingle: what a request of each granularity has, by the packet.
func TestSingle(t *testing.T) {
	inside, v6, none := flowOf("10.1.8.1", "10.2.0.9"), flowOf("2001:db8:1::1", "2001:db8:2::9"), (*selector.Flow)(nil)
	for _, c := range []struct {
		required granularity
		flow     *selector.Flow
		want     string
	}{
		{perPolicy, inside, "[] [] false"},
		{perNetworks, inside, "[10.1.8.0/24] [10.2.0.0/24] true"},
		{perNetworks, v6, "[2001:db8:1::/64] [2001:db8:2::/64] true"},
		{perNetworks, none, "[10.1.0.0/24] [10.2.0.0/24] true"},
		{perNetworks, flowOf("10.1.9.1", "10.2.0.9"), "[] [] false"},
		{perAddresses, inside, "[10.1.8.1/32] [10.2.0.9/32] true"},
		{perAddresses, v6, "[2001:db8:1::1/128] [2001:db8:2::9/128] true"},
		{perAddresses, none, "[] [] false"},
		{perAddresses, flowOf("10.1.9.1", "10.2.0.9"), "[] [] false"},
	} {
		s := newStand(t, pairSettings(ChildrenOne))
		s.pol.required = c.required
		local, remote, ok := s.pol.Single(c.flow)
		if got := fmt.Sprint(local, remote, ok); got != c.want {
			t.Errorf("%d, %v: got %s, want %s", c.required, c.flow, got, c.want)
		}
	}
	s := newStand(t, pairSettings(ChildrenPerPair))
	s.install(s.pol.Main(), true, func(a *Agreement) { a.SA.LocalTS, a.SA.RemoteTS = networks("10.1.8.0/24"), networks("10.2.8.0/24") })
	if l, r, _ := s.pol.Single(nil); fmt.Sprint(l, r) != "[10.1.8.0/24] [10.2.8.0/24]" {
		t.Errorf("on another IKE SA it begins with %v, %v", l, r)
	}
}

// TestRequireLess: a peer that requires single pairs is asked for networks first, and then for
// addresses, which only a packet has; no more steps follow.
func TestRequireLess(t *testing.T) {
	f := flowOf("10.1.0.1", "10.2.0.1")
	for name, c := range map[string]struct {
		change func(*Settings)
		flow   *selector.Flow
		want   []bool
	}{
		"several networks": {func(*Settings) {}, f, []bool{true, true, false, false}},
		"without a packet": {func(*Settings) {}, nil, []bool{true, false, false}},
		"per-pair":         {func(c *Settings) { c.Children = ChildrenPerPair }, f, []bool{true, false}},
		"one network":      {func(c *Settings) { c.Local, c.Remote = c.Local[:1], c.Remote[:1] }, f, []bool{true, false}},
		"very many": {func(c *Settings) {
			for i := range 65 {
				c.Local = append(c.Local, networks(fmt.Sprintf("10.3.%d.0/24", i))...)
			}
		}, f, []bool{true, false}},
	} {
		settings := pairSettings(ChildrenOne)
		c.change(&settings)
		s := newStand(t, settings)
		var got []bool
		for range c.want {
			got = append(got, s.pol.RequireLess(c.flow))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if s.pol.granularity() != perAddresses {
			t.Errorf("%s: granularity %d in the end", name, s.pol.granularity())
		}
		said := slices.DeleteFunc(s.reports, func(r Report) bool { return r.Event != "single-pair" })
		if want := 1 + truth(name != "per-pair" && name != "one network" && name != "very many"); len(said) != want {
			t.Errorf("%s: said %d times, want %d", name, len(said), want)
		}
	}
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestGrant: a policy for single pairs grants one pair of a request, the one with its first
// selectors if it may; any other policy grants all that it has.
func TestGrant(t *testing.T) {
	all := pairSettings(ChildrenOne)
	for _, c := range []struct {
		mode          ChildrenMode
		local, remote []selector.Selector
		want          string
	}{
		{ChildrenOne, all.Local[:2], all.Remote[:1], "[10.1.0.0/24 10.1.8.0/24] [10.2.0.0/24] false"},
		{ChildrenPerPair, all.Local, all.Remote, "[10.1.0.0/24] [10.2.0.0/24] true"},
		{ChildrenPerPair, all.Local[1:2], all.Remote[:1], "[10.1.8.0/24] [10.2.0.0/24] false"},
		{ChildrenPerPair, networks("10.1.8.7/32", "10.1.0.0/16"), networks("10.2.8.7/32", "10.2.0.0/16"), "[10.1.8.0/24] [10.2.8.0/24] true"},
		{ChildrenPerPair, networks("10.1.8.7/32"), networks("10.2.8.7/32"), "[10.1.8.7/32] [10.2.8.7/32] false"},
		{ChildrenPerPair, networks("10.1.9.7/32", "10.1.0.0/16"), networks("10.2.8.7/32"), "[10.1.0.0/24] [10.2.8.7/32] true"},
		{ChildrenPerPair, all.Local[:1], all.Remote[2:], "[] [] false"},
		{ChildrenPerPair, networks("10.9.0.0/16"), all.Remote, "[] [10.2.0.0/24 10.2.8.0/24 2001:db8:2::/64] false"},
	} {
		l, r, more := newStand(t, pairSettings(c.mode)).pol.Grant(c.local, c.remote)
		if got := fmt.Sprint(l, r, more); got != c.want {
			t.Errorf("%d, %v, %v: got %s, want %s", c.mode, c.local, c.remote, got, c.want)
		}
	}
}

// TestNetworkPairs: a pair has one family, and a protocol that both sides have.
func TestNetworkPairs(t *testing.T) {
	all := pairSettings(ChildrenOne)
	if n := NetworkPairs(all.Local, all.Remote); n != 5 {
		t.Errorf("%d pairs, want 5", n)
	}
	tcp, udp := networks("10.1.0.0/24"), networks("10.2.0.0/24", "10.2.1.0/24")
	tcp[0].Protocol, udp[0].Protocol = 6, 17
	if n := NetworkPairs(tcp, udp); n != 1 {
		t.Errorf("%d pairs of TCP and UDP, want 1", n)
	}
}

// TestNarrowPair: what was not asked for is not missing, and what was is.
func TestNarrowPair(t *testing.T) {
	s := newStand(t, pairSettings(ChildrenPerPair))
	add := func(local, remote string) *Pair {
		return s.install(&Chain{policy: s.pol}, true, func(a *Agreement) {
			a.SA.LocalTS, a.SA.RemoteTS, a.Further = networks(local), networks(remote), true
		})
	}
	if add("10.1.0.0/24", "10.2.0.0/24"); s.pol.Narrow() {
		t.Error("narrow, by networks that were not asked for")
	}
	p := add("10.1.8.0/24", "10.2.8.0/25")
	p.CameUp()
	if !s.pol.Narrow() {
		t.Error("not narrow, with half of a network")
	}
	if text := s.reports[len(s.reports)-1].Reason; text != "the peer granted 10.1.8.0/24 with 10.2.8.0/25 of 10.1.8.0/24 with 10.2.8.0/24; the rest is asked for when a packet needs it; to carry all, configure the same networks on both sides" {
		t.Errorf("said: %s", text)
	}
	l := &Chain{policy: s.pol, flow: flowOf("10.1.8.1", "10.2.8.200")}
	if _, _, ok := l.Single(); ok {
		t.Error("the whole pair is asked for again")
	}
	if local, remote := l.Missing(); fmt.Sprint(local, remote) != "[10.1.8.0/24] [10.2.8.128/25]" {
		t.Errorf("missing: %v, %v", local, remote)
	}
	s.pol.Settings.Narrow = NarrowPeer
	if s.pol.mayHavePart(l.flow) || !s.pol.mayHavePart(flowOf("10.1.0.1", "10.2.8.1")) {
		t.Error(`narrow = "peer" holds for what was not asked for, or not for what was`)
	}
}

// TestPairsOfAParty: the pairs of a party are within what it agreed to.
func TestPairsOfAParty(t *testing.T) {
	s := newStand(t, pairSettings(ChildrenPerPair))
	s.agreed = &grant{networks("10.1.0.0/16"), networks("10.2.8.9/32")}
	var got []string
	for g := range s.pol.networkPairs() {
		got = append(got, g.String())
	}
	if want := []string{"10.1.0.0/24 with 10.2.8.9/32", "10.1.8.0/24 with 10.2.8.9/32"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestToucherIsBounded: very many selectors count as carried.
func TestToucherIsBounded(t *testing.T) {
	s := newStand(t, pairSettings(ChildrenPerPair))
	var many []selector.Selector
	for i := range 255 {
		many = append(many, networks(fmt.Sprintf("10.7.%d.0/24", i))...)
	}
	for range 300 {
		s.pol.main.add(&Pair{policy: s.pol, SA: ipsec.ChildSA{LocalTS: many, RemoteTS: many}})
	}
	g := &grant{networks("10.7.0.0/16"), networks("10.9.0.0/16")}
	if !s.pol.touched(g) {
		t.Error("300 lists of 255 selectors were compared")
	}
	s.pol.main.pairs = s.pol.main.pairs[:1]
	if s.pol.touched(g) {
		t.Error("what nothing carries counts as carried")
	}
}
