package tun

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// mend acts on events.
func (r *Router) mend(e *events, now time.Time) error {
	tryAgain := r.again.now(now, e.hosts)
	var errs []error
	if e.whole && e.hosts { // what was told is not all
		errs = append(errs, r.listAddrs())
	} else if len(e.addrs) > 0 {
		errs = append(errs, r.mendAddrs(e.addrs))
	}
	back := e.up && (e.down || !r.up) // the kernel has dropped the routes, without a word
	if e.up || e.down {
		r.up = e.up
	}
	switch {
	case tryAgain, back:
		errs = append(errs, r.compare(false))
	case e.whole:
		errs = append(errs, r.compare(true))
	default:
		errs = append(errs, r.mendRules(e.rules), r.mendRoutes(e.routes))
	}
	return errors.Join(errs...)
}

// mendAddrs follows changes of this host's addresses.
func (r *Router) mendAddrs(list []addrEvent) error {
	before := r.plan.addrs
	for _, a := range list {
		if a.gone {
			delete(r.hosts, a.hostAddr)
			continue
		}
		r.hosts[a.hostAddr] = a.usable
	}
	e := r.plan.setAddrs(r.usable())
	for _, a := range list {
		_, was := slices.BinarySearchFunc(before, a.addr, compareAddrs)
		_, is := slices.BinarySearchFunc(r.plan.addrs, a.addr, compareAddrs)
		if was && is {
			r.plan.restore(e, a.addr)
		}
	}
	return r.execute(e)
}

// mendRules brings back rules that events name, and goes in front of others' that came before ours.
func (r *Router) mendRules(list map[kernelRule]ruleEvent) error {
	if len(list) == 0 {
		return nil
	}
	ours := make(map[kernelRule]rule, len(r.plan.rules))
	for k := range r.plan.rules {
		ours[r.kernelRule(k)] = k
	}
	again := make(map[rule]bool)
	var strange []kernelRule
	foreign := false
	for k, ev := range list {
		mine, ok := ours[k]
		switch {
		case ok && ev.gone:
			again[mine] = true
			r.repairs.who = ev.by
		case ok || ev.gone:
		case k.protocol == routeProtocol && r.inBlock(k):
			strange = append(strange, k)
		default:
			foreign = foreign || r.inFront(k, r.prio+ruleCount)
		}
	}
	err := r.restoreRules(again, strange, true)
	if !foreign {
		return err
	}
	rules, listed := r.rules()
	if listed != nil {
		return errors.Join(err, listed)
	}
	return errors.Join(err, r.goInFront(rules))
}

// restoreRules adds and removes rules. With blame somebody else is to be named.
func (r *Router) restoreRules(add map[rule]bool, strange []kernelRule, blame bool) error {
	var left refusals
	added, err := r.addRules(r.kernelRules(add), &left)
	if err == nil && len(r.stale) == 0 { // else the first Apply knows better what to keep
		err = r.deleteRules(strange, &left)
	}
	if err != nil {
		return err
	}
	if blame {
		r.repairs.mended(0, added+len(strange))
	}
	return left.err(len(add) + len(strange))
}

// kernelRules returns rules as the kernel has them, in the order in which to add them.
func (r *Router) kernelRules(rules map[rule]bool) []kernelRule {
	var out []kernelRule
	for _, k := range inOrder(rules) {
		out = append(out, r.kernelRule(k))
	}
	return out
}

func (r *Router) inBlock(k kernelRule) bool {
	return r.prio > 0 && int(k.prio) >= r.prio && int(k.prio) < r.prio+ruleCount
}

// goInFront moves our rules before those of others that came to stand in front, unless the priority is the
// configuration's or there is none left: then it says so.
func (r *Router) goInFront(rules []kernelRule) error {
	i := slices.IndexFunc(rules, func(k kernelRule) bool { return r.inFront(k, r.prio+ruleCount) })
	if i < 0 || len(r.plan.rules) == 0 {
		return nil
	}
	prio := r.choosePriority(rules)
	if r.fixed || prio == 0 {
		r.repairs.before(rules[i], false)
		return nil
	}
	r.repairs.before(rules[i], true)
	old := r.kernelRules(r.plan.rules)
	slices.Reverse(old)
	r.prio = prio
	var left refusals
	if _, err := r.addRules(r.kernelRules(r.plan.rules), &left); err != nil {
		return err
	}
	if err := r.deleteRules(old, &left); err != nil {
		return err
	}
	return left.err(2 * len(old))
}

// mendRoutes brings back routes that events name, and removes what others added to our tables.
func (r *Router) mendRoutes(list map[kernelRoute]routeEvent) error {
	var d difference
	d.missing = make(map[dest]bool)
	for k, ev := range list {
		at := dest{int(k.table) - r.table, k.dst}
		if at.table != 0 && r.plan.groups[at.table] == nil {
			continue
		}
		switch ours := r.isWanted(k); {
		case ours && ev.gone, !ours && ev.gone && k.protocol == routeProtocol:
			if _, ok := r.plan.want(at); ok {
				d.missing[at] = true
				r.repairs.who = ev.by
			}
		case !ours && !ev.gone:
			d.strange = append(d.strange, k)
			r.repairs.who = ev.by
		}
	}
	return r.mendDifference(d, true)
}

// isWanted reports whether a route is as the plan wants it.
func (r *Router) isWanted(k kernelRoute) bool {
	d := dest{int(k.table) - r.table, k.dst}
	h, ok := r.plan.want(d)
	if !ok {
		return false
	}
	if k.kind == unix.RTN_UNREACHABLE { // over IPv6 the kernel gives it a device
		k.oif = 0
		return r.fenced(d, h) && k == r.kernelFence(d)
	}
	if h.throw {
		k.oif = 0
	}
	return k == r.kernelRoute(d, h)
}

// difference is how a table differs from the plan.
type difference struct {
	missing map[dest]bool
	strange []kernelRoute
}

// mendDifference removes a difference. With blame somebody else is to be named.
func (r *Router) mendDifference(d difference, blame bool) error {
	var set, gone []kernelRoute
	for _, k := range d.strange {
		at := dest{int(k.table) - r.table, k.dst}
		_, ok := r.plan.want(at)
		if ok {
			d.missing[at] = true
		}
		if !ok || k.metric != routeMetric { // else it is replaced
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
	if blame {
		r.repairs.mended(len(d.missing)+len(d.strange), 0)
	}
	if left.n > 0 || left.later {
		r.again.failed(time.Now())
	}
	return left.err(len(set) + len(gone))
}

// compare lists all rules and routes of ours and mends what differs. With blame it is somebody else's doing.
func (r *Router) compare(blame bool) error {
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
		} else if k.protocol == routeProtocol && r.inBlock(k) {
			strange = append(strange, k)
		}
	}
	add := make(map[rule]bool)
	for _, k := range missing {
		add[k] = true
	}
	errs := []error{r.compareTable(0, blame)}
	for t := range r.plan.groups {
		errs = append(errs, r.compareTable(t, blame))
	}
	errs = append(errs, r.restoreRules(add, strange, blame), r.goInFront(rules))
	return errors.Join(errs...)
}

// compareTable mends what differs in a table.
func (r *Router) compareTable(table int, blame bool) error {
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
	r.plan.all(table, func(at dest, _ hop) {
		set, _ := r.routesAt(at)
		want += len(set)
		d.missing[at] = true
	})
	if have == want && len(d.strange) == 0 {
		return nil
	}
	if err := r.present(table, d.missing); err != nil {
		return err
	}
	if err := r.mendDifference(d, blame); err != nil {
		return fmt.Errorf("table %d: %w", r.table+table, err)
	}
	return nil
}

// present takes from missing what is as the plan wants it.
func (r *Router) present(table int, missing map[dest]bool) error {
	have := make(map[dest]int)
	err := listRoutes(r.nl, r.table+table, func(k kernelRoute) {
		if r.isWanted(k) {
			have[dest{table, k.dst}]++
		}
	})
	for at, n := range have {
		if set, _ := r.routesAt(at); n == len(set) {
			delete(missing, at)
		}
	}
	return err
}
