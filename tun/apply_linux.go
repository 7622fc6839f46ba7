package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var families = []int{unix.AF_INET, unix.AF_INET6}

// actionNop is FR_ACT_NOP of <linux/fib_rules.h>.
const actionNop = 3

const (
	routeMetric = 1024    // IPv6's default, said for both families
	fenceMetric = 1 << 30 // worse than any other
)

// apply makes the kernel hold p, and of ours nothing else. New routes come before the rules that use them, and old rules go before
// their routes, so that at no moment protected traffic goes elsewhere; the mark's rule comes first of the rules and goes last.
func (r *Router) apply(p plan) error {
	rules, strange, err := r.haveRules()
	if err != nil {
		return err
	}
	routes, err := r.haveRoutes()
	if err != nil {
		return err
	}
	var errs []error
	for key, to := range p.routes {
		if have, ok := routes[key]; !ok || have != to {
			errs = append(errs, r.setRoute(key, to))
		}
	}
	for _, k := range strange {
		errs = append(errs, missingOK(r.nl.RuleDel(&k)))
	}
	for _, k := range inOrder(p.rules) {
		if !rules[k] {
			errs = append(errs, existsOK(r.nl.RuleAdd(r.netlinkRule(k))))
		}
	}
	for _, k := range slices.Backward(inOrder(rules)) {
		if !p.rules[k] {
			errs = append(errs, missingOK(r.nl.RuleDel(r.netlinkRule(k))))
		}
	}
	for key, to := range routes {
		if _, ok := p.routes[key]; !ok {
			errs = append(errs, missingOK(r.nl.RouteDel(r.netlinkRoute(key, to))))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tun: setting routes: %w", err)
	}
	return nil
}

// inOrder sorts rules so that goto finds its target and marked packets are out of reach before any other rule comes.
func inOrder(rules map[rule]bool) []rule {
	rank := map[int]int{ruleEnd: 0, ruleMark: 1, ruleBound: 2, ruleUnbound: 3, ruleFrom: 4}
	out := make([]rule, 0, len(rules))
	for k := range rules {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b rule) int { return rank[a.at] - rank[b.at] })
	return out
}

func existsOK(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func missingOK(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// setRoute adds or replaces a route. A source that is no longer the host's means that its address has just gone: then the traffic is not
// of this network any more, and the change that is about to be noticed settles it.
func (r *Router) setRoute(key routeKey, to routeTo) error {
	err := r.nl.RouteReplace(r.netlinkRoute(key, to))
	switch {
	case err == nil:
		return nil
	case to.src.IsValid() && errors.Is(err, unix.EINVAL):
		r.log.Debug("the preferred source of a route is gone", "remote", key.dst.String(), "source", to.src.String())
		return nil
	}
	return fmt.Errorf("route %s to %s: %w", key.dst, r.device, err)
}

func (r *Router) tableOf(key routeKey) int {
	if key.unbound {
		return r.table + 1
	}
	return r.table
}

func (r *Router) netlinkRoute(key routeKey, to routeTo) *netlink.Route {
	out := &netlink.Route{Table: r.tableOf(key), Dst: ipNet(key.dst), Protocol: routeProtocol, Priority: routeMetric, MTU: to.mtu}
	switch {
	case key.fence:
		out.Type, out.Priority = unix.RTN_UNREACHABLE, fenceMetric
		return out
	case to.throw:
		out.Type = unix.RTN_THROW
		return out
	}
	// A route of link scope would tell the kernel that its destinations are neighbours on the device: then a route that somebody adds
	// via a gateway which a remote network happens to hold would be resolved into the tunnel.
	out.Type, out.LinkIndex, out.Scope = unix.RTN_UNICAST, r.index, netlink.SCOPE_UNIVERSE
	if to.src.IsValid() {
		out.Src = to.src.AsSlice()
	}
	return out
}

func (r *Router) netlinkRule(k rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Family = unix.AF_INET
	if k.v6 {
		out.Family = unix.AF_INET6
	}
	out.Priority, out.Protocol = r.prio+k.at, routeProtocol
	if k.src.IsValid() {
		out.Src = ipNet(k.src)
	}
	switch k.at {
	case ruleMark:
		out.Mark, out.Goto = r.mark, r.prio+ruleEnd
	case ruleFrom:
		out.Table = r.table
	case ruleBound:
		out.Goto = r.prio + ruleEnd
	case ruleUnbound:
		out.Table = r.table + 1
	case ruleEnd:
		out.Type = actionNop
	}
	return out
}

// haveRules are the rules of ours that the kernel holds, and those of ours that no plan has, because somebody changed them.
func (r *Router) haveRules() (ours map[rule]bool, strange []netlink.Rule, err error) {
	ours = make(map[rule]bool)
	for _, family := range families {
		list, err := r.rules(family)
		if err != nil {
			return nil, nil, err
		}
		for _, have := range list {
			k := rule{v6: family == unix.AF_INET6, at: have.Priority - r.prio, src: prefix(have.Src)}
			want := r.netlinkRule(k)
			if have.Mark != want.Mark || have.Table != want.Table || have.Goto != want.Goto {
				strange = append(strange, have)
				continue
			}
			ours[k] = true
		}
	}
	return ours, strange, nil
}

// haveRoutes are the routes in our tables.
func (r *Router) haveRoutes() (map[routeKey]routeTo, error) {
	out := make(map[routeKey]routeTo)
	for _, family := range families {
		for _, unbound := range []bool{false, true} {
			list, err := r.list(family, r.tableOf(routeKey{unbound: unbound}))
			if err != nil {
				return nil, err
			}
			for _, have := range list {
				dst := prefix(have.Dst)
				if !dst.IsValid() { // the default route has none
					dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
					if family == unix.AF_INET6 {
						dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
					}
				}
				key := routeKey{unbound: unbound, fence: have.Type == unix.RTN_UNREACHABLE, dst: dst}
				to := routeTo{throw: have.Type == unix.RTN_THROW, mtu: have.MTU}
				if src, ok := netip.AddrFromSlice(have.Src); ok {
					to.src = src.Unmap()
				}
				out[key] = to
			}
		}
	}
	return out, nil
}

// list is the routes of a table; of a family that the host lacks, none.
func (r *Router) list(family, table int) ([]netlink.Route, error) {
	routes, err := r.nl.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tun: listing routing table %d: %w", table, err)
	}
	return routes, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix is the inverse of ipNet; invalid for nil.
func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}
