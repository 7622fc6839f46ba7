package tun

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// claim finds the priorities and tables that this router uses, where no other daemon lives, and removes what a killed one left on
// the way. Table 0 lets it choose the tables too.
func (r *Router) claim(table int) error {
	if table != 0 && !usable(table) {
		return fmt.Errorf("tun: %d is no routing table to use: choose one from 256 on", table)
	}
	var user string
	for i := range maxDaemons {
		r.prio, r.table = first+i*step, table
		if table == 0 {
			r.table = first + i*step
		}
		alive, err := r.sweep()
		if err != nil {
			return err
		}
		if user, err = r.userOf(r.table); err != nil {
			return err
		}
		if !alive && user == "" {
			return nil
		}
		if table != 0 && user != "" {
			return fmt.Errorf("tun: routing table %d is in use (%s): choose another", table, user)
		}
	}
	return fmt.Errorf("tun: routing tables and rule priorities from %d on are all in use (%s)", first, user)
}

// usable leaves the system's own tables alone: 253 to 255, and 0 which means none. A router uses two.
func usable(table int) bool {
	return table > 255 || table > 0 && table+1 < 253
}

// sweep looks at the rules of the priorities that r.prio begins. If they are a living daemon's it says so. If they name other tables
// than this router's it removes them and the routes in those.
func (r *Router) sweep() (alive bool, err error) {
	tables := make(map[int]bool)
	var rules []netlink.Rule
	for _, family := range families {
		list, err := r.rules(family)
		if err != nil {
			return false, err
		}
		for _, have := range list {
			rules = append(rules, have)
			if have.Table > 0 {
				tables[have.Table] = true
			}
		}
	}
	for t := range tables {
		if user, err := r.userOf(t); err != nil || user != "" {
			return user != "", err
		}
	}
	delete(tables, r.table)
	delete(tables, r.table+1)
	if len(tables) == 0 {
		return false, nil // Set knows better what to keep
	}
	var errs []error
	for _, k := range rules {
		errs = append(errs, missingOK(r.nl.RuleDel(&k)))
	}
	for t := range tables {
		errs = append(errs, r.flush(t))
	}
	return false, errors.Join(errs...)
}

// flush removes our routes from a table.
func (r *Router) flush(table int) error {
	var errs []error
	for _, family := range families {
		routes, err := r.list(family, table)
		if err != nil {
			return err
		}
		for _, k := range routes {
			if k.Protocol == routeProtocol {
				errs = append(errs, missingOK(r.nl.RouteDel(&k)))
			}
		}
	}
	return errors.Join(errs...)
}

// userOf says who else uses a table, or nothing. What a killed daemon left there names no device that lives.
func (r *Router) userOf(table int) (string, error) {
	for _, family := range families {
		routes, err := r.list(family, table)
		if err != nil {
			return "", err
		}
		for _, have := range routes {
			if have.Protocol != routeProtocol {
				return fmt.Sprintf("a route of protocol %d", have.Protocol), nil
			}
			if have.Type == unix.RTN_UNICAST && have.LinkIndex != r.index {
				return fmt.Sprintf("another culvert, device number %d", have.LinkIndex), nil
			}
		}
	}
	return "", nil
}

// rules are ours of the priorities that r.prio begins; of a family that the host lacks, none.
func (r *Router) rules(family int) ([]netlink.Rule, error) {
	list, err := r.nl.RuleList(family)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tun: listing routing rules: %w", err)
	}
	var out []netlink.Rule
	for _, have := range list {
		if have.Protocol != routeProtocol || have.Priority < r.prio || have.Priority > r.prio+ruleEnd {
			continue
		}
		have.Family = family
		out = append(out, have)
	}
	return out, nil
}
