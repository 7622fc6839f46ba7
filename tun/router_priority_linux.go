package tun

import (
	"slices"

	"golang.org/x/sys/unix"
)

// choosePriority returns the priority of the first of our rules, in front of all others' and where
// no other daemon has any; 0 if there is none.
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

// inFront reports whether a rule of others comes before those of ours that end at top, and could
// take traffic away from them. Rules for the devices of a VRF and for the local table do not, nor
// do those for sources outside every local network.
func (r *Router) inFront(k kernelRule, top int) bool {
	if k.protocol == routeProtocol || int(k.prio) >= top || k.action == unix.FR_ACT_NOP || k.l3mdev {
		return false
	}
	if k.action == unix.FR_ACT_TO_TBL && k.table == unix.RT_TABLE_LOCAL {
		return false
	}
	return r.plan.concerns(k.v6, k.src)
}

// goInFront moves our rules before those of others that came to stand in front, unless the priority
// is the configuration's or there is none left: then it says so.
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
