package netio

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestKernelAnswers: routes by mark, source and codepoint; devices; neighbours; rules.
func TestKernelAnswers(t *testing.T) {
	p := newPair(t, 1)
	twoLinks(t, p)
	var k kernel
	if err := p.a.Do(k.open); err != nil {
		t.Fatal(err)
	}
	defer k.close()
	nn0, nn1 := linkIndex(t, p, "nn0"), linkIndex(t, p, "nn1")
	for _, v6 := range []bool{false, true} {
		if err := p.a.Route(behind[v6], viaNN0[v6], 0); err != nil {
			t.Fatal(err)
		}
		mustRule(t, p, v6, 51, func(r *netlink.Rule) { r.Mark = testMark })
		mustRule(t, p, v6, 52, func(r *netlink.Rule) { r.Tos = 0x10 })
		mustRule(t, p, v6, 53, func(r *netlink.Rule) {
			r.Src = &net.IPNet{IP: addrA2[v6].AsSlice(), Mask: net.CIDRMask(addrA2[v6].BitLen(), addrA2[v6].BitLen())}
		})
		for _, tt := range []struct {
			name  string
			local netip.Addr
			dscp  uint8
			mark  uint32
			link  int
		}{
			{"main", addrA[v6], 0, 0, nn0},
			{"the mark", addrA[v6], 0, testMark, nn1},
			{"another mark", addrA[v6], 0, testMark + 1, nn0},
			{"the codepoint", addrA[v6], 0x10, 0, nn1},
			{"the source", addrA2[v6], 0, 0, nn1},
		} {
			for _, whole := range []bool{false, true} {
				r, err := k.route(hopKey{tt.local, far[v6], tt.dscp}, tt.mark, whole)
				via := netip.MustParseAddr(map[int]string{nn0: viaNN0[v6], nn1: viaNN1[v6]}[tt.link])
				if err != nil || r != (routeAnswer{kind: unix.RTN_UNICAST, link: tt.link, via: via}) {
					t.Errorf("v6=%t, whole=%t, by %s: %+v, %v", v6, whole, tt.name, r, err)
				}
			}
		}
		if r, err := k.route(hopKey{addrA[v6], addrA[v6], 0}, testMark, false); err != nil || r.kind != unix.RTN_LOCAL {
			t.Errorf("v6=%t: our own address: %+v, %v", v6, r, err)
		}
		if _, err := k.neighbour(neighbourKey{nn0, netip.MustParseAddr(map[bool]string{false: "192.0.2.88", true: "2001:db8::88"}[v6])}); !errors.Is(err, unix.ENOENT) {
			t.Errorf("v6=%t: nobody's address: %v", v6, err)
		}
		link, err := p.b.Netlink().LinkByName("nn0")
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the neighbour", func() bool {
			out := espOut(v6, 100)
			_ = sendOne(p.netA.Ports()[0], &out)
			n, err := k.neighbour(neighbourKey{nn0, addrB[v6]})
			return err == nil && n.valid && net.HardwareAddr(n.to[:]).String() == link.Attrs().HardwareAddr.String()
		})
		mustAskRules(t, p, &k, v6)
	}
	l, err := k.link(nn0)
	if err != nil || !l.ethernet || !l.up || l.vrf || l.mtu != 1500 || l.hops6 != 64 {
		t.Errorf("the device: %+v, %v", l, err)
	}
	if _, err := k.link(999); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no device: %v", err)
	}
	if _, err := k.one(question{kind: unix.RTM_GETLINK, answer: unix.RTM_NEWADDR, flags: unix.NLM_F_DUMP, body: &netlink.Ndmsg{}}); !errors.Is(err, errNoAnswer) {
		t.Errorf("an answer of another kind: %v", err)
	}
}

// mustRule adds a rule that leads to nn1 by a table of its own.
func mustRule(t *testing.T, p *pair, v6 bool, table int, set func(*netlink.Rule)) {
	t.Helper()
	_, dst, err := net.ParseCIDR(behind[v6])
	if err != nil {
		t.Fatal(err)
	}
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority = int(familyOf(far[v6])), table, 100+table
	set(rule)
	if err := errors.Join(p.a.Netlink().RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN1[v6]), Table: table}), p.a.Netlink().RuleAdd(rule)); err != nil {
		t.Fatal(err)
	}
}

// mustAskRules fails unless a rule by the IP protocol is found while it is there, and packets with
// the mark come to it.
func mustAskRules(t *testing.T, p *pair, k *kernel, v6 bool) {
	t.Helper()
	family, nl := int(familyOf(far[v6])), p.a.Netlink()
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.IPProto, rule.Priority = family, unix.RT_TABLE_MAIN, unix.IPPROTO_ESP, 100
	over, end := netlink.NewRule(), netlink.NewRule()
	over.Family, over.Mark, over.Goto, over.Priority = family, testMark, 110, 90
	end.Family, end.Table, end.Priority = family, unix.RT_TABLE_MAIN, 110
	for _, tt := range []struct {
		change func() error
		want   bool
	}{
		{func() error { return nl.RuleAdd(end) }, false},
		{func() error { return nl.RuleAdd(rule) }, true},
		{func() error { return nl.RuleAdd(over) }, false},
		{func() error { return nl.RuleDel(over) }, true},
		{func() error { return errors.Join(nl.RuleDel(rule), nl.RuleDel(end)) }, false},
	} {
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		if found, err := k.rulesByProtocol(family, testMark); err != nil || found != tt.want {
			t.Errorf("v6=%t: a rule by protocol was found: %t, want %t: %v", v6, found, tt.want, err)
		}
	}
}

// TestHopLimits: they are the device's or the host's, and those of the route come first.
func TestHopLimits(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	log := newFrameLog(t, p.b, "nn0")
	for name, value := range map[string]string{"ipv4/ip_default_ttl": "77", "ipv6/conf/nn0/hop_limit": "78"} {
		if err := p.a.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, v6 := range []bool{false, true} {
		_, dst, _ := net.ParseCIDR(behind[v6])
		for _, limit := range []int{0, 9} {
			r := &netlink.Route{Dst: dst, Gw: net.ParseIP(viaNN0[v6]), Hoplimit: limit}
			if err := p.a.Netlink().RouteReplace(r); err != nil {
				t.Fatal(err)
			}
			p.netA.hops.dropAll()
			want := byte(limit)
			if limit == 0 {
				want = map[bool]byte{false: 77, true: 78}[v6]
			}
			got := log.during(func() { throughStack(t, p.netA.ports[0], farOut(v6)) })
			at := map[bool]int{false: etherLen + 8, true: etherLen + 7}[v6]
			if len(got) != 1 || got[0][at] != want {
				t.Errorf("v6=%t: the kernel does not send with %d: %x", v6, want, got)
			}
			got = log.during(func() { mustGoDirect(t, p.netA, farOut(v6)) })
			if last := got[len(got)-1]; last[at] != want {
				t.Errorf("v6=%t: sent with %d, want %d", v6, last[at], want)
			}
		}
	}
}

// TestNextHopsByNumber: with nexthop_compat_mode off the kernel does not tell what a next hop
// object is, which may be a group.
func TestNextHopsByNumber(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	if err := p.a.Sysctl("ipv4/nexthop_compat_mode", "0"); err != nil {
		t.Skip(err)
	}
	for _, args := range []string{
		"nexthop add id 1 via 192.0.2.2 dev nn0", "nexthop add id 2 via 198.51.100.2 dev nn1",
		"nexthop add id 10 group 1/2", "route add 203.0.113.0/24 nhid 10",
	} {
		if out, err := p.a.Run(t.Context(), nil, "ip", strings.Fields(args)...); err != nil {
			t.Fatal(out, err)
		}
	}
	mustNotGoDirect(t, p.netA, farOut(false))
	h := p.netA.hops
	h.mu.Lock()
	defer h.mu.Unlock()
	key := hopKey{addrA[false], far[false], 0}
	if _, err := h.findRoute(key); !errors.Is(err, obstacleMany) {
		t.Errorf("the obstacle is %v", err)
	}
}
