package tun

import (
	"errors"
	"slices"
	"time"
)

// mend makes the plan and the kernel follow events.
func (r *Router) mend(e *events, now time.Time) error {
	tryAgain := r.again.now(now, e.news == hostsNews)
	var errs []error
	if e.whole && e.news == hostsNews { // events were lost
		errs = append(errs, r.listAddrs())
	} else if len(e.addrs) > 0 {
		errs = append(errs, r.mendAddrs(e.addrs))
	}
	// When the device went down, the kernel has removed the routes without notices.
	back := e.device == deviceBack || e.device == deviceUp && !r.up
	if e.device != deviceSame {
		r.up = e.device != deviceDown
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

// mendRules restores the rules that events name, and moves ours before those of other programs.
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
		case k.protocol == routeProtocol && r.hasOurPriority(k):
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

// restoreRules adds and removes rules. With byOthers this counts as a repair.
func (r *Router) restoreRules(add map[rule]bool, strange []kernelRule, byOthers bool) error {
	var left refusals
	added, err := r.addRules(r.kernelRules(add), &left)
	if err == nil && len(r.stale) == 0 { // otherwise the first Apply decides
		err = r.deleteRules(strange, &left)
	}
	if err != nil {
		return err
	}
	if byOthers {
		r.repairs.mended(0, added+len(strange))
	}
	return left.err(len(add) + len(strange))
}

// kernelRules returns rules in the kernel's form, in the order in which to add them.
func (r *Router) kernelRules(rules map[rule]bool) []kernelRule {
	var out []kernelRule
	for _, k := range inOrder(rules) {
		out = append(out, r.kernelRule(k))
	}
	return out
}

// hasOurPriority reports whether a rule has one of our priorities.
func (r *Router) hasOurPriority(k kernelRule) bool {
	return r.prio > 0 && int(k.prio) >= r.prio && int(k.prio) < r.prio+ruleCount
}

// mendRoutes restores the routes that events name, and removes those that other programs added to
// our tables.
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
