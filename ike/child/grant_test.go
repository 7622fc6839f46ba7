package child

import (
	"net/netip"
	"testing"

	"culvert/ike/reason"
	"culvert/selector"
)

// networks returns selectors of networks.
func networks(prefixes ...string) []selector.Selector {
	var list []selector.Selector
	for _, p := range prefixes {
		list = append(list, selector.FromPrefix(netip.MustParsePrefix(p)))
	}
	return list
}

// TestCovered: pairs carry a policy if one does, or if several share one side and have the other
// together.
func TestCovered(t *testing.T) {
	whole := &grant{networks("10.1.0.0/16", "2001:db8:1::/48"), networks("10.2.0.0/16", "2001:db8:2::/48")}
	all1, all2 := whole.local, whole.remote
	for name, c := range map[string]struct {
		grants []*grant
		want   bool
	}{
		"none":                  {nil, false},
		"itself":                {[]*grant{whole}, true},
		"wider":                 {[]*grant{{networks("10.0.0.0/8", "2001:db8::/32"), networks("10.0.0.0/8", "2001:db8::/32")}}, true},
		"without IPv6":          {[]*grant{{networks("10.1.0.0/16"), networks("10.2.0.0/16")}}, false},
		"half of the remote":    {[]*grant{{all1, networks("10.2.0.0/17", "2001:db8:2::/48")}}, false},
		"half of the local":     {[]*grant{{networks("10.1.0.0/17", "2001:db8:1::/48"), all2}}, false},
		"two remote halves":     {[]*grant{{all1, networks("10.2.0.0/17", "2001:db8:2::/48")}, {all1, networks("10.2.128.0/17")}}, true},
		"two local halves":      {[]*grant{{networks("10.1.0.0/17", "2001:db8:1::/48"), all2}, {networks("10.1.128.0/17"), all2}}, true},
		"halves of both":        {[]*grant{{networks("10.1.0.0/17"), networks("10.2.0.0/17")}, {networks("10.1.128.0/17"), networks("10.2.128.0/17")}}, false},
		"a half of each beside": {[]*grant{{all1, networks("10.2.0.0/17")}, {networks("10.1.0.0/17"), all2}}, false},
	} {
		if got := covered(whole, c.grants); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestCoveredIsBounded: many selectors are not compared with the whole, which is found among them
// nevertheless.
func TestCoveredIsBounded(t *testing.T) {
	whole := &grant{networks("10.1.0.0/16"), networks("10.2.0.0/16")}
	many := &grant{whole.local, networks("10.3.0.0/16")}
	for range maxGranted {
		many.remote = append(many.remote, many.remote[0])
	}
	if covered(whole, []*grant{many, {networks("10.0.0.0/8"), networks("10.0.0.0/8")}}) {
		t.Error("the work has no bound")
	}
	if !covered(whole, []*grant{many, whole}) {
		t.Error("the whole itself is not found")
	}
}

// narrowed returns a stand whose policy has two remote networks.
func narrowed(t *testing.T) *stand {
	return newStand(t, Settings{Name: "lan", Local: networks("10.1.0.0/16"), Remote: networks("10.2.0.0/16", "10.3.0.0/16")})
}

// with makes a pair that carries these remote networks.
func (s *stand) with(remote ...string) *Pair {
	return s.install(s.pol.Main(), true, func(a *Agreement) { a.SA.RemoteTS = networks(remote...) })
}

// A policy is narrow while its usable pairs carry less than its networks.
func TestNarrow(t *testing.T) {
	s := narrowed(t)
	if s.pol.Narrow() {
		t.Error("without a pair")
	}
	first := s.with("10.2.0.0/16")
	if !s.pol.Narrow() {
		t.Error("half of it is all")
	}
	second := s.with("10.3.0.0/16")
	if s.pol.Narrow() {
		t.Error("two halves are not all")
	}
	first.moveTo(Deleting)
	second.Lost(EndPeer, "")
	if s.pol.Narrow() {
		t.Error("what cannot be sent on counts")
	}
}

// That a policy is narrow is told once, and again when the first pair carries something else, or
// after all had been carried.
func TestTellNarrow(t *testing.T) {
	s := narrowed(t)
	const half, other = "10.2.0.0/16", "10.3.0.0/16"
	const text = "the peer granted 10.1.0.0/16 with 10.2.0.0/16 of 10.1.0.0/16 with 10.2.0.0/16 10.3.0.0/16, without remote 10.3.0.0/16; the rest is asked for when a packet needs it; to carry all, configure the same networks on both sides"
	for _, step := range []struct {
		what   string
		beside bool
		remote []string
		want   []string
	}{
		{"the first", false, []string{half}, []string{"child-up", "child-narrowed"}},
		{"the same again", false, []string{half}, []string{"child-down", "child-up"}},
		{"another half", false, []string{other}, []string{"child-down", "child-up", "child-narrowed"}},
		{"all", false, []string{half, other}, []string{"child-down", "child-up"}},
		{"the half again", false, []string{half}, []string{"child-down", "child-up", "child-narrowed"}},
		{"something beside it", true, []string{"10.2.0.0/17"}, []string{"child-up"}},
	} {
		if !step.beside {
			for _, p := range s.pol.Pairs() {
				p.Lost(EndPeer, "")
			}
		}
		p := s.with(step.remote...)
		p.CameUp()
		if r := s.reports[len(s.reports)-1]; step.what == "the first" && (r.Reason != text || r.Warn || r.Pair != p || r.Cause != reason.Narrowed || s.pol.Shortfall().Reason != text) {
			t.Errorf("reported %+v", r)
		}
		s.wantEvents(step.what, step.want...)
	}
}

// A packet is carried if a usable pair has its addresses.
func TestCarries(t *testing.T) {
	s := narrowed(t)
	flow := &selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1")}
	p := s.with("10.3.0.0/16")
	if s.pol.carries(flow) {
		t.Error("it is outside")
	}
	s.with("10.2.0.0/16").moveTo(Replaced)
	if !s.pol.carries(flow) {
		t.Error("a replaced pair carries it")
	}
	p.moveTo(Deleting)
	flow.Dst = netip.MustParseAddr("10.3.0.1")
	if s.pol.carries(flow) {
		t.Error("a pair that is being deleted carries it")
	}
}
