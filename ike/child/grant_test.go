package child

import "testing"

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
