package tun

import (
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Release removes the rules and routes that dead daemons left in the calling thread's network
// namespace, and returns the networks that these made unreachable.
func Release() ([]string, error) {
	nl, err := dial()
	if err != nil {
		return nil, err
	}
	defer nl.close()
	r := &Router{nl: nl, plan: newPlan(nil, false)}
	rules, err := r.rules()
	if err != nil {
		return nil, err
	}
	if r.stale, err = r.leftBehind(rules); err != nil {
		return nil, err
	}
	opened := make(map[netip.Prefix]bool)
	for _, k := range r.stale {
		err = errors.Join(err, listRoutes(nl, int(k.table), func(k kernelRoute) {
			if k.protocol == routeProtocol && k.kind == unix.RTN_UNREACHABLE {
				opened[k.dst] = true
			}
		}))
	}
	err = errors.Join(err, r.removeStale(nil))
	var out []string
	for p := range opened {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out, err
}
