package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// routeProtocol marks rules and routes as ours (rtm_protocol). It is not a registered number.
	routeProtocol = 143
	routeMetric   = 1024    // the default of IPv6, set explicitly for both families
	fenceMetric   = 1 << 30 // worse than any other
)

// The next hops of routes to the device. They are never resolved: the device has no neighbours.
// They make the kernel treat the destination as behind a router instead of on the link. Otherwise
// it would send a spoke an ICMP redirect, with a quoted decrypted packet, about another spoke; and
// it would resolve other routes into the tunnel if their gateway is in a remote network.
var (
	viaIPv4 = netip.MustParseAddr("192.0.0.8") // the dummy address of RFC 7600
	viaIPv6 = netip.MustParseAddr("fe80::4303")
)

// kernelRoute returns a route of the plan in the kernel's form.
func (r *Router) kernelRoute(d dest, h hop) kernelRoute {
	k := kernelRoute{table: uint32(r.table + d.table), dst: d.dst, metric: routeMetric, kind: unix.RTN_UNICAST, protocol: routeProtocol}
	if h.throw {
		k.kind = unix.RTN_THROW
		return k
	}
	k.oif, k.via, k.src = r.link, viaIPv4, h.src
	if d.dst.Addr().Is6() {
		k.via = viaIPv6
	}
	return k
}

// kernelFence returns the fence behind a route to the device: an unreachable route with the same
// prefix and a worse metric. When the device goes down, or is gone because the daemon was killed,
// protected traffic meets the fence instead of the main table, and never leaves in the clear.
func (r *Router) kernelFence(d dest) kernelRoute {
	return kernelRoute{table: uint32(r.table + d.table), dst: d.dst, metric: fenceMetric, kind: unix.RTN_UNREACHABLE, protocol: routeProtocol}
}

// fenced reports whether a route of the plan has a fence.
func (r *Router) fenced(d dest, h hop) bool { return r.fence && !h.throw && d != claimed }

// execute makes the kernel follow an edit of the plan. It adds new routes before the rules that use
// them, and removes old rules before their routes, so that protected traffic never goes elsewhere.
func (r *Router) execute(e edit) error {
	var set, gone []kernelRoute
	n := len(e.rules)
	for d := range e.routes {
		s, g := r.routesAt(d)
		set, gone = append(set, s...), append(gone, g...)
	}
	// Throw routes first: a wider route to the device must not take exempt traffic.
	slices.SortStableFunc(set, func(a, b kernelRoute) int { return throwsFirst(a) - throwsFirst(b) })
	var left refusals
	err := r.setRoutes(set, &left)
	if err == nil {
		err = r.executeRules(e, &left)
	}
	if err == nil {
		err = r.deleteRoutes(gone, &left)
	}
	if err != nil { // it is not known how much was done
		r.again.failed(time.Now())
		return err
	}
	if left.n > 0 || left.later {
		r.again.failed(time.Now())
	}
	return left.err(n + len(set) + len(gone))
}

func throwsFirst(k kernelRoute) int {
	if k.kind == unix.RTN_THROW {
		return 0
	}
	return 1
}

// routesAt returns the routes that d should have, and those that it should not have.
func (r *Router) routesAt(d dest) (set, gone []kernelRoute) {
	h, ok := r.plan.want(d)
	switch {
	case ok && (h.throw || r.up): // a device that is down takes no routes; they follow when it is up
		set = append(set, r.kernelRoute(d, h))
	case !ok:
		k := r.kernelRoute(d, h)
		k.kind, k.oif, k.via, k.src = unix.RTN_UNSPEC, 0, netip.Addr{}, netip.Addr{} // of any kind
		gone = append(gone, k)
	}
	if ok && r.fenced(d, h) {
		set = append(set, r.kernelFence(d))
	} else if r.fence {
		gone = append(gone, r.kernelFence(d))
	}
	return set, gone
}

// routeCount returns the number of routes that d should have.
func (r *Router) routeCount(d dest, h hop) (n int) {
	if h.throw || r.up {
		n++
	}
	if r.fenced(d, h) {
		n++
	}
	return n
}

// setRoutes adds or replaces routes.
func (r *Router) setRoutes(list []kernelRoute, left *refusals) error {
	return r.nl.change(len(list), func(b []byte, i int) []byte {
		return list[i].append(b, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	}, func(i int, err error) {
		k := &list[i]
		switch {
		case k.src.IsValid() && errors.Is(err, unix.EINVAL):
			// This host has lost the source address. The notice of that is about to come, and the
			// plan will follow.
			r.log.Debug("the preferred source of a route is gone", "remote", k.dst.String(), "source", k.src.String())
			left.later = true
			return
		case k.oif != 0 && errors.Is(err, unix.ENETDOWN): // a notice follows when it is up
			left.later = true
			return
		}
		left.add(k.dst.Addr().Is6(), r.device, fmt.Errorf("route to %s: %w", k.dst, err))
	})
}

// deleteRoutes removes routes. They need not exist.
func (r *Router) deleteRoutes(list []kernelRoute, left *refusals) error {
	return r.nl.change(len(list), func(b []byte, i int) []byte {
		return list[i].append(b, unix.RTM_DELROUTE, 0)
	}, func(i int, err error) {
		if !missing(err) {
			left.add(list[i].dst.Addr().Is6(), r.device, fmt.Errorf("removing the route to %s: %w", list[i].dst, err))
		}
	})
}

// executeRules adds the rules of an edit that the plan has and removes the others. The mark's rule
// is added first and removed last.
func (r *Router) executeRules(e edit, left *refusals) error {
	var add, gone []kernelRule
	for _, k := range inOrder(e.rules) {
		if r.plan.rules[k] {
			add = append(add, r.kernelRule(k))
		} else {
			gone = append(gone, r.kernelRule(k))
		}
	}
	slices.Reverse(gone)
	_, err := r.addRules(add, left)
	if err != nil {
		return err
	}
	return r.deleteRules(gone, left)
}

// addRules adds rules, which may exist already, and returns the number of those that did not.
func (r *Router) addRules(list []kernelRule, left *refusals) (added int, err error) {
	added = len(list)
	err = r.nl.change(len(list), func(b []byte, i int) []byte {
		return list[i].append(b, unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	}, func(i int, err error) {
		added--
		if !errors.Is(err, unix.EEXIST) {
			left.add(list[i].v6, r.device, fmt.Errorf("rule %s: %w", list[i], err))
		}
	})
	return added, err
}

// deleteRules removes rules. They need not exist.
func (r *Router) deleteRules(list []kernelRule, left *refusals) error {
	return r.nl.change(len(list), func(b []byte, i int) []byte {
		return list[i].append(b, unix.RTM_DELRULE, 0)
	}, func(i int, err error) {
		if !missing(err) {
			left.add(list[i].v6, r.device, fmt.Errorf("removing rule %s: %w", list[i], err))
		}
	})
}

// missing reports whether an error means that the object does not exist.
func missing(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ESRCH, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refusals collects the kernel's refusals.
type refusals struct {
	n       int
	first   error
	later   bool   // a refusal does not count because a notice is about to come
	noIPv6  string // the remedy, if IPv6 is switched off
	allIPv6 bool   // all refusals have this cause
}

// add adds a refusal.
func (f *refusals) add(v6 bool, device string, err error) {
	off := v6 && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP))
	f.allIPv6 = off && (f.n == 0 || f.allIPv6)
	if off && f.noIPv6 == "" {
		f.noIPv6 = fmt.Sprintf("IPv6 is switched off: switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.%s.disable_ipv6=0, or remove the IPv6 networks from the configuration", device)
	}
	if f.n++; f.first == nil || off {
		f.first = err
	}
}

// err returns the refusals among a number of changes as one error: nil if there are none, an
// *Incomplete if the other changes are in force.
func (f *refusals) err(of int) error {
	switch {
	case f.n == 0:
		return nil
	case f.n < of || f.allIPv6:
		return &Incomplete{Refused: f.n, First: f.first, Remedy: f.noIPv6}
	}
	return fmt.Errorf("tun: setting routes: %w", f.first)
}
