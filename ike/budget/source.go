package budget

import (
	"net/netip"
	"time"
)

// sources counts events within one second by the hosts that cause them, whose addresses may be
// forged. Known addresses have a total of their own, so that strangers cannot use it up.
type sources struct {
	second time.Time
	from   map[uint64]int // by hostKey; never more entries than both totals
	total  [2]int         // of strangers, and of known addresses
}

// A SourceLimit is the number of events in a second at most: of a host, of all strangers, and of
// all known addresses.
type SourceLimit struct{ Host, Strangers, Known int }

// allow counts an event, and reports whether the second has had no more than the limits.
func (r *sources) allow(now time.Time, from netip.Addr, known bool, most SourceLimit) bool {
	if now.Sub(r.second) >= time.Second || now.Before(r.second) {
		*r = sources{second: now}
	}
	total, limit := &r.total[0], most.Strangers
	if known {
		total, limit = &r.total[1], most.Known
	}
	if *total >= limit || r.from[hostKey(from)] >= most.Host {
		return false
	}
	if r.from == nil {
		r.from = map[uint64]int{}
	}
	r.from[hostKey(from)]++
	*total++
	return true
}
