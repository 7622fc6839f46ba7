package tun

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// first is the first table of the first daemon, and the priority of its first rule unless rules
	// of other programs come before: the number of the RFC that defines ESP.
	first = 4303
	// tablesEach is the number of tables of a daemon: the distance between the first tables of two.
	tablesEach = 1 << 16
	// maxDaemons bounds the search for free tables.
	maxDaemons = 64
)

// claim chooses the tables and priorities of this router, which no other daemon uses, and records
// the rules that killed daemons left. 0 for table or prio lets it choose.
func (r *Router) claim(table, prio int) error {
	if table != 0 && (table < 256 || table > 1<<31-tablesEach) {
		return fmt.Errorf("tun: routing table %d is out of range: set [daemon] route_table to 256 to %d", table, 1<<31-tablesEach)
	}
	if prio != 0 && (prio < 1 || prio+ruleCount > mainPriority) {
		return fmt.Errorf("tun: rule priority %d is out of range: set [daemon] rule_priority to 1 to %d", prio, mainPriority-ruleCount)
	}
	if err := r.claimTable(table); err != nil {
		return err
	}
	rules, err := r.rules()
	if err != nil {
		return err
	}
	if r.stale, err = r.leftBehind(rules); err != nil {
		return err
	}
	r.prio, r.fixed = prio, prio != 0
	return nil
}

// mainPriority is the priority of the main table's rule.
const mainPriority = 32766

// claimTable chooses the first table and claims it.
func (r *Router) claimTable(table int) error {
	var user string
	for i := range maxDaemons {
		r.instance, r.table = i, table
		if table == 0 {
			r.table = first + i*tablesEach
		}
		var err error
		if user, _, err = r.userOf(r.table); err != nil {
			return err
		}
		if user == "" {
			err = r.claimNow()
			if !errors.Is(err, unix.EEXIST) {
				return err
			}
			user = "another culvert"
		}
		if table != 0 {
			return fmt.Errorf("tun: routing table %d is in use (%s): choose another one with [daemon] route_table", table, user)
		}
	}
	return fmt.Errorf("tun: all routing tables from %d on are in use (%s): choose another one with [daemon] route_table", first, user)
}

// claimNow adds the route that shows other daemons that the table is in use. It fails if another
// daemon has added its own before.
func (r *Router) claimNow() error {
	k := r.kernelRoute(claimed, hop{})
	var refused error
	err := r.nl.change(1, func(b []byte, _ int) []byte {
		return k.append(b, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	}, func(_ int, err error) { refused = fmt.Errorf("tun: adding a route to %s: %w", r.device, err) })
	return errors.Join(err, refused)
}

// userOf describes the other user of a table, "" if there is none, and returns the number of routes
// in it. Routes of a killed daemon do not count as a use: their device does not exist.
func (r *Router) userOf(table int) (user string, n int, err error) {
	err = listRoutes(r.nl, table, func(k kernelRoute) {
		switch n++; {
		case k.protocol != routeProtocol:
			user = fmt.Sprintf("a route of another program to %s, protocol %d", k.dst, k.protocol)
		case k.kind == unix.RTN_UNICAST && k.oif != r.link:
			user = fmt.Sprintf("another culvert, device number %d", k.oif)
		}
	})
	return user, n, err
}

// leftBehind returns the rules that dead daemons left.
func (r *Router) leftBehind(rules []kernelRule) ([]kernelRule, error) {
	alive := make(map[uint32]bool)
	var out []kernelRule
	for _, k := range rules {
		if k.protocol != routeProtocol {
			continue
		}
		base := baseOf(k, rules)
		if _, known := alive[base]; !known {
			user, _, err := r.userOf(int(base))
			if err != nil {
				return nil, err
			}
			alive[base] = user != "" && base != uint32(r.table)
		}
		if !alive[base] {
			out = append(out, k)
		}
	}
	return out, nil
}

// baseOf returns the first table of the daemon that added k. The last of a daemon's rules names it.
func baseOf(k kernelRule, rules []kernelRule) uint32 {
	base := uint32(0)
	for _, o := range rules {
		if o.protocol == routeProtocol && o.action == unix.FR_ACT_NOP && o.table <= k.table {
			base = max(base, o.table)
		}
	}
	if base == 0 {
		base = k.table // of an older version, whose rules did not name it
	}
	return base
}

// removeStale removes the rules of killed daemons, and the routes in their tables and in the tables
// in, except those that the plan has.
func (r *Router) removeStale(in []int) error {
	if len(r.stale)+len(in) == 0 {
		return nil
	}
	var left refusals
	wanted := make(map[kernelRule]bool)
	for k := range r.plan.rules {
		wanted[r.kernelRule(k)] = true
	}
	tables := make(map[uint32]bool)
	for _, t := range in {
		tables[uint32(t)] = true
	}
	gone := slices.DeleteFunc(slices.Clone(r.stale), func(k kernelRule) bool {
		tables[k.table] = true
		return wanted[k]
	})
	slices.Reverse(gone) // the mark's as the last
	if err := r.deleteRules(gone, &left); err != nil {
		return err
	}
	r.stale = nil
	for t := range tables {
		if err := r.clean(int(t), &left); err != nil {
			return err
		}
	}
	return left.err(len(gone) + 1)
}

// clean removes our routes from a table, except those that the plan has.
func (r *Router) clean(table int, left *refusals) error {
	var gone []kernelRoute
	err := listRoutes(r.nl, table, func(k kernelRoute) {
		if k.protocol == routeProtocol && !r.isWanted(k) {
			gone = append(gone, k)
		}
	})
	if err != nil {
		return err
	}
	return r.deleteRoutes(gone, left)
}
