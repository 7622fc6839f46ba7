package tun

import (
	"net/netip"
	"slices"
	"testing"
)

// leads says where the plan sends a packet: longest prefix first, as the kernel does, in the table that the rules choose.
func (p plan) leads(t *testing.T, from, to string) string {
	t.Helper()
	dst := netip.MustParseAddr(to)
	key, ok := routeKey{}, false
	if from == "" {
		key, ok = routeKey{unbound: true}, p.hasUnbound(dst.Is6())
	} else {
		for k := range p.rules {
			ok = ok || k.at == ruleFrom && k.src.Contains(netip.MustParseAddr(from))
		}
	}
	if !ok {
		return "main"
	}
	best := -1
	out := "main"
	for k, to := range p.routes {
		if k.unbound == key.unbound && !k.fence && k.dst.Contains(dst) && k.dst.Bits() > best {
			best, out = k.dst.Bits(), "tun "+to.src.String()
			if !to.src.IsValid() {
				out = "tun"
			}
			if to.throw {
				out = "main"
			}
		}
	}
	return out
}

func (p plan) hasUnbound(v6 bool) bool {
	for k := range p.rules {
		if k.at == ruleUnbound && k.v6 == v6 {
			return true
		}
	}
	return false
}

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func net4(remote string, mtu int, local ...string) Net {
	return Net{Remote: netip.MustParsePrefix(remote), Local: prefixes(local...), MTU: mtu}
}

func TestPlan(t *testing.T) {
	hub := []Net{net4("10.1.0.0/16", 0, "10.0.0.0/16", "10.2.0.0/16"), net4("10.2.0.0/16", 0, "10.0.0.0/16", "10.1.0.0/16")}
	spoke := []Net{net4("10.0.0.0/8", 0, "10.1.0.0/16")}
	mixed := []Net{net4("::/0", 0, "10.0.0.0/8"), net4("10.9.0.0/16", 0, "2001:db8::/32"), net4("2001:db8:2::/48", 0, "2001:db8:1::/48", "10.1.0.0/16")}
	for _, c := range []struct {
		name           string
		nets           []Net
		host           []netip.Addr
		from, to, want string
	}{
		{"hub: spoke to spoke", hub, nil, "10.1.0.5", "10.2.0.5", "tun"},
		{"hub: its LAN to a spoke", hub, nil, "10.0.0.5", "10.2.0.5", "tun"},
		{"hub: its LAN to itself", hub, nil, "10.0.0.5", "10.0.0.6", "main"},
		{"hub: itself to a spoke", hub, addrs("10.0.0.1", "192.0.2.1"), "", "10.2.0.5", "tun 10.0.0.1"},
		{"spoke: to the rest", spoke, nil, "10.1.0.5", "10.7.0.5", "tun"},
		{"spoke: to itself", spoke, nil, "10.1.0.5", "10.1.0.6", "main"},
		{"spoke: from elsewhere", spoke, nil, "192.0.2.1", "10.7.0.5", "main"},
		{"spoke without an address in its LAN", spoke, addrs("192.0.2.1"), "", "10.7.0.5", "main"},
		{"the most specific local network gives the source",
			[]Net{net4("10.0.0.0/8", 0, "0.0.0.0/0", "10.1.0.0/16")}, addrs("10.0.0.1", "10.1.0.1", "192.0.2.1"), "", "10.7.0.5", "tun 10.1.0.1"},
		{"one family does not speak for the other", mixed, addrs("10.0.0.1", "2001:db8::1"), "10.0.0.5", "10.9.0.5", "main"},
		{"nor takes the other's local networks", mixed, addrs("10.1.0.1"), "", "2001:db8:2::5", "main"},
		{"but its own", mixed, nil, "2001:db8:1::5", "2001:db8:2::5", "tun"},
		{"link-local stays on the link", []Net{net4("::/0", 0, "fe80::/10")}, nil, "fe80::1", "fe80::2", "main"},
		{"unless that is what is asked for", []Net{net4("224.0.0.0/24", 0, "10.1.0.0/16")}, nil, "10.1.0.5", "224.0.0.5", "tun"},
		{"nothing", nil, addrs("10.1.0.1"), "", "10.7.0.5", "main"},
	} {
		if got := makePlan(c.nets, c.host).leads(t, c.from, c.to); got != c.want {
			t.Errorf("%s: from %q to %s goes to %s, want %s", c.name, c.from, c.to, got, c.want)
		}
	}
}

func TestPlanTakesTheLeastMTU(t *testing.T) {
	p := makePlan([]Net{net4("10.2.0.0/16", 1400, "10.1.0.0/16"), net4("10.2.0.0/16", 1300, "10.9.0.0/16"), net4("10.2.0.0/16", 0, "10.8.0.0/16")}, nil)
	if got := p.routes[routeKey{dst: netip.MustParsePrefix("10.2.0.0/16")}].mtu; got != 1300 {
		t.Errorf("MTU %d, want 1300", got)
	}
}

func TestWidest(t *testing.T) {
	got := widest(prefixes("10.1.0.0/16", "10.1.2.0/24", "192.0.2.1/32", "10.1.0.0/16", "10.0.0.0/15", "2001:db8::/32"))
	slices.SortFunc(got, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	if want := prefixes("10.0.0.0/15", "192.0.2.1/32", "2001:db8::/32"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
