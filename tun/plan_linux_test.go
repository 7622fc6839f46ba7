package tun

import (
	"net/netip"
	"testing"

	"culvert/tun/protect"
)

// planOf returns the plan of policies on a host with some addresses.
func planOf(ps []protect.Policy, addrs []netip.Addr) *plan {
	for i := range ps {
		ps[i].ID = protect.ID(i)
	}
	p := newPlan([]uint16{500, 4500}, true)
	p.apply(protect.NewSet().Change(ps, nil))
	var hosts []netip.Prefix
	for _, a := range addrs {
		hosts = append(hosts, netip.PrefixFrom(a, a.BitLen()))
	}
	p.setAddrs(hosts)
	return p
}

// leads returns where the plan sends a packet: through the rules in their order, and in each table
// by the longest prefix, like the kernel.
func (p *plan) leads(from, to string) string {
	dst := netip.MustParseAddr(to)
	src := netip.IPv4Unspecified()
	if dst.Is6() {
		src = netip.IPv6Unspecified()
	}
	if from != "" {
		src = netip.MustParseAddr(from)
	}
	for at := ruleUnbound; at <= ruleFrom; at++ {
		for k := range p.rules {
			if k.at != at || k.v6 != dst.Is6() || k.at == ruleBoundEnd || k.at == ruleARPProtocol || k.at == ruleARPRest || at == ruleUnbound && !src.IsUnspecified() || k.src.IsValid() && !k.src.Contains(src) {
				continue
			}
			if out := p.in(k.table, dst); out != "main" {
				return out
			}
		}
	}
	return "main"
}

func (p *plan) in(table int, dst netip.Addr) string {
	best, out := -1, "main"
	p.all(table, func(d dest, h hop) {
		if !d.dst.Contains(dst) || d.dst.Bits() <= best || d == claimed {
			return
		}
		switch best, out = d.dst.Bits(), "tun"; {
		case h.throw:
			out = "main"
		case h.src.IsValid():
			out = "tun " + h.src.String()
		}
	})
	return out
}

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestPlan(t *testing.T) {
	hub := []protect.Policy{policy("10.1.0.0/16", "10.0.0.0/16", "10.2.0.0/16"), policy("10.2.0.0/16", "10.0.0.0/16", "10.1.0.0/16")}
	spoke := []protect.Policy{policy("10.0.0.0/8", "10.1.0.0/16")}
	mixed := []protect.Policy{policy("::/0", "10.0.0.0/8"), policy("10.9.0.0/16", "2001:db8::/32"), policy("2001:db8:2::/48", "2001:db8:1::/48", "10.1.0.0/16")}
	for _, c := range []struct {
		name           string
		nets           []protect.Policy
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
			[]protect.Policy{policy("10.0.0.0/8", "0.0.0.0/0", "10.1.0.0/16")}, addrs("10.0.0.1", "10.1.0.1", "192.0.2.1"), "", "10.7.0.5", "tun 10.1.0.1"},
		{"one family does not speak for the other", mixed, addrs("10.0.0.1", "2001:db8::1"), "10.0.0.5", "10.9.0.5", "main"},
		{"nor takes the other's local networks", mixed, addrs("10.1.0.1"), "", "2001:db8:2::5", "main"},
		{"but its own", mixed, nil, "2001:db8:1::5", "2001:db8:2::5", "tun"},
		{"link-local stays on the link", []protect.Policy{policy("::/0", "fe80::/10")}, nil, "fe80::1", "fe80::2", "main"},
		{"unless that is what is asked for", []protect.Policy{policy("224.0.0.0/24", "10.1.0.0/16")}, nil, "10.1.0.5", "224.0.0.5", "tun"},
		{"nothing", nil, addrs("10.1.0.1"), "", "10.7.0.5", "main"},
	} {
		if got := planOf(c.nets, c.host).leads(c.from, c.to); got != c.want {
			t.Errorf("%s: from %q to %s goes to %s, want %s", c.name, c.from, c.to, got, c.want)
		}
	}
}
