package tun

import (
	"net/netip"
	"slices"
	"testing"

	"culvert/tun/protect"
)

// There are rules for ARP if, and only if, a policy protects packets from an own address to a
// neighbour.
func TestARPOfNeighbours(t *testing.T) {
	const own = "192.0.2.1"
	for _, c := range []struct {
		name  string
		nets  []protect.Policy
		hosts []string
		want  bool
	}{
		{"host to host", []protect.Policy{policy("192.0.2.2/32", own+"/32")}, []string{own + "/24"}, true},
		{"host to all", []protect.Policy{policy("0.0.0.0/0", own+"/32")}, []string{own + "/24"}, true},
		{"the whole link but us", []protect.Policy{policy("192.0.2.0/24", own+"/32")}, []string{own + "/24"}, true},
		{"half of it", []protect.Policy{policy("192.0.2.128/25", "192.0.2.0/25")}, []string{own + "/24"}, true},
		{"of two policies the second", []protect.Policy{policy("10.2.0.0/16", own+"/32"), policy("192.0.2.2/32", own+"/32")}, []string{own + "/24"}, true},
		{"a host elsewhere", []protect.Policy{policy("198.51.100.2/32", own+"/32")}, []string{own + "/24"}, false},
		{"a neighbour that is local too", []protect.Policy{policy("0.0.0.0/0", "192.0.2.0/24")}, []string{own + "/24"}, false},
		{"from another's address", []protect.Policy{policy("192.0.2.2/32", "10.1.0.0/16")}, []string{own + "/24"}, false},
		{"without a network of its link", []protect.Policy{policy("192.0.2.2/32", own+"/32")}, []string{own + "/32"}, false},
		{"IPv6 has no such filter", []protect.Policy{policy("2001:db8::2/128", "2001:db8::1/128")}, []string{"2001:db8::1/64"}, false},
	} {
		var hosts []netip.Prefix
		for _, h := range c.hosts {
			hosts = append(hosts, netip.MustParsePrefix(h))
		}
		addrsFirst, policiesFirst := newPlan([]uint16{500, 4500}, true), newPlan([]uint16{500, 4500}, true)
		set := protect.NewSet()
		for i := range c.nets {
			c.nets[i].ID = protect.ID(i)
		}
		for _, p := range []*plan{addrsFirst, policiesFirst} {
			p.passARP = true
		}
		addrsFirst.setAddrs(hosts)
		for i := range c.nets { // one after the other
			change := set.Change(c.nets[i:i+1], nil)
			addrsFirst.apply(change)
			policiesFirst.apply(change)
		}
		policiesFirst.setAddrs(hosts)
		for _, p := range []*plan{addrsFirst, policiesFirst} {
			if got := p.rules[rule{at: ruleARPRest, src: netip.PrefixFrom(hosts[0].Addr(), hosts[0].Addr().BitLen())}]; got != c.want {
				t.Errorf("%s: rules for ARP: %v, want %v", c.name, got, c.want)
			}
		}
		e := addrsFirst.apply(set.Change(nil, []protect.ID{0, 1}))
		for k := range addrsFirst.rules {
			if k.at == ruleARPProtocol || k.at == ruleARPRest {
				t.Errorf("%s: without a policy there is %+v", c.name, k)
			}
		}
		if c.want && !e.rules[rule{at: ruleARPRest, src: netip.MustParsePrefix(own + "/32")}] {
			t.Errorf("%s: nothing tells the kernel of the end", c.name)
		}
	}
}

// The rules for protocols of an address are added before the rule that skips the tables for the
// rest.
func TestARPProtocolsComeBeforeTheRest(t *testing.T) {
	p := newPlan([]uint16{500, 4500}, true)
	p.passARP = true
	p.setAddrs([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")})
	p.apply(protect.NewSet().Change([]protect.Policy{policy("192.0.2.2/32", "192.0.2.1/32")}, nil))
	order := inOrder(p.rules)
	at := func(n int) func(rule) bool { return func(k rule) bool { return k.at == n } }
	updateARP := slices.IndexFunc(order, at(ruleARPRest))
	if updateARP < 0 || slices.IndexFunc(order, at(ruleFrom)) > updateARP || slices.ContainsFunc(order[updateARP:], at(ruleARPProtocol)) {
		t.Errorf("the order is %+v", order)
	}
}
