package tun

import (
	"slices"

	"golang.org/x/sys/unix"
)

// choosePriority returns a priority for the first of our rules, before the rules of other programs
// and not in use by another daemon, or 0 if there is none.
func (r *Router) choosePriority(rules []kernelRule) int {
	top := first + ruleCount*(r.instance+1)
	for _, k := range rules {
		if r.inFront(k, top) {
			top = int(k.prio) - ruleCount*r.instance
		}
	}
	for prio := top - ruleCount; prio > 0; prio -= ruleCount {
		taken := slices.ContainsFunc(rules, func(k kernelRule) bool {
			return k.protocol == routeProtocol && int(k.prio) >= prio && int(k.prio) < prio+ruleCount && !slices.Contains(r.stale, k)
		})
		if !taken {
			return prio
		}
	}
	return 0
}

// inFront reports whether a rule of another program comes before ours, which end at top, and could
// take protected traffic. Rules for the devices of a VRF, for the local table, and for sources
// outside of all local networks cannot.
func (r *Router) inFront(k kernelRule, top int) bool {
	if k.protocol == routeProtocol || int(k.prio) >= top || k.action == unix.FR_ACT_NOP || k.l3mdev {
		return false
	}
	if k.action == unix.FR_ACT_TO_TBL && k.table == unix.RT_TABLE_LOCAL {
		return false
	}
	return r.plan.concerns(k.v6, k.src)
}

// goInFront moves our rules before those of other programs that are in front. If the configuration
// sets the priority, or none is left, it only logs and counts them.
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
