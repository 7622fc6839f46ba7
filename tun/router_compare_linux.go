package tun

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// compare lists all our rules and routes and mends differences from the plan. With byOthers they
// count as changes by another program.
func (r *Router) compare(byOthers bool) error {
	rules, err := r.rules()
	if err != nil {
		return err
	}
	missing := make(map[kernelRule]rule)
	for k := range r.plan.rules {
		missing[r.kernelRule(k)] = k
	}
	var strange []kernelRule
	for _, k := range rules {
		if _, ok := missing[k]; ok {
			delete(missing, k)
		} else if k.protocol == routeProtocol && r.hasOurPriority(k) {
			strange = append(strange, k)
		}
	}
	add := make(map[rule]bool)
	for _, k := range missing {
		add[k] = true
	}
	errs := []error{r.compareTable(0, byOthers)}
	for t := range r.plan.groups {
		errs = append(errs, r.compareTable(t, byOthers))
	}
	errs = append(errs, r.restoreRules(add, strange, byOthers), r.goInFront(rules))
	return errors.Join(errs...)
}

// compareTable mends the differences in a table.
func (r *Router) compareTable(table int, byOthers bool) error {
	var have, want int
	d := difference{missing: make(map[dest]bool)}
	err := listRoutes(r.nl, r.table+table, func(k kernelRoute) {
		if r.isWanted(k) {
			have++
		} else {
			d.strange = append(d.strange, k)
		}
	})
	if err != nil {
		return err
	}
	r.plan.all(table, func(at dest, h hop) { want += r.routeCount(at, h) })
	if have == want && len(d.strange) == 0 {
		return nil
	}
	r.plan.all(table, func(at dest, _ hop) { d.missing[at] = true })
	if err := r.present(table, d.missing); err != nil {
		return err
	}
	if err := r.mendDifference(d, byOthers); err != nil {
		return fmt.Errorf("table %d: %w", r.table+table, err)
	}
	return nil
}

// present removes from missing the destinations whose routes are as in the plan.
func (r *Router) present(table int, missing map[dest]bool) error {
	have := make(map[dest]int)
	err := listRoutes(r.nl, r.table+table, func(k kernelRoute) {
		if r.isWanted(k) {
			have[dest{table, k.dst}]++
		}
	})
	for at, n := range have {
		if h, _ := r.plan.want(at); n == r.routeCount(at, h) {
			delete(missing, at)
		}
	}
	return err
}

// isWanted reports whether a route is as in the plan.
func (r *Router) isWanted(k kernelRoute) bool {
	d := dest{int(k.table) - r.table, k.dst}
	h, ok := r.plan.want(d)
	if !ok {
		return false
	}
	if k.kind == unix.RTN_UNREACHABLE { // for IPv6 the kernel adds a device
		k.oif = 0
		return r.fenced(d, h) && k == r.kernelFence(d)
	}
	if h.throw {
		k.oif = 0
	}
	return k == r.kernelRoute(d, h)
}

// A difference holds the differences of a table from the plan.
type difference struct {
	missing map[dest]bool
	strange []kernelRoute
}

// mendDifference mends a difference. With byOthers it counts as a change by another program.
func (r *Router) mendDifference(d difference, byOthers bool) error {
	var set, gone []kernelRoute
	for _, k := range d.strange {
		at := dest{int(k.table) - r.table, k.dst}
		_, ok := r.plan.want(at)
		if ok {
			d.missing[at] = true
		}
		if !ok || k.metric != routeMetric { // otherwise setRoutes replaces it
			gone = append(gone, kernelRoute{table: k.table, dst: k.dst, metric: k.metric, kind: k.kind, protocol: k.protocol})
		}
	}
	for at := range d.missing {
		s, _ := r.routesAt(at)
		set = append(set, s...)
	}
	if len(set)+len(gone) == 0 {
		return nil
	}
	var left refusals
	err := r.setRoutes(set, &left)
	if err == nil {
		err = r.deleteRoutes(gone, &left)
	}
	if err != nil {
		return err
	}
	if byOthers {
		r.repairs.mended(len(d.missing)+len(d.strange), 0)
	}
	if left.n > 0 || left.later {
		r.again.failed(time.Now())
	}
	return left.err(len(set) + len(gone))
}
