package child

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A Table holds all pairs of an engine.
type Table struct {
	host  Host
	pairs map[ipsec.ChildID]*Pair
	last  ipsec.ChildID
	parts map[uint64]*parts // by command
}

// NewTable returns an empty table.
func NewTable(host Host) *Table {
	return &Table{host: host, pairs: map[ipsec.ChildID]*Pair{}, parts: map[uint64]*parts{}}
}

// Pair returns the pair of an ID, or nil. It may be deleted and linger.
func (t *Table) Pair(id ipsec.ChildID) *Pair { return t.pairs[id] }

// Carried returns the pair of an ID if it is on a carrier, otherwise nil.
func (t *Table) Carried(id ipsec.ChildID) *Pair {
	if p := t.pairs[id]; p != nil && p.carrier != nil {
		return p
	}
	return nil
}

// Len returns the number of pairs.
func (t *Table) Len() int { return len(t.pairs) }

// Unanswered returns the number of commands about several pairs that are answered in part.
func (t *Table) Unanswered() int { return len(t.parts) }

// RemoveAll removes all pairs from the dataplane, in the order of their IDs. Their carriers have
// ended.
func (t *Table) RemoveAll() {
	for _, p := range slices.SortedFunc(maps.Values(t.pairs), func(a, b *Pair) int { return cmp.Compare(a.SA.ID, b.SA.ID) }) {
		p.gone()
	}
}

// after sets a timer to fire after d.
func (t *Table) after(tm *timer.Timer, d time.Duration) { t.host.Timers().Set(tm, t.host.Now().Add(d)) }

func (t *Table) stop(tm *timer.Timer) { t.host.Timers().Stop(tm) }

// An Agreement is the outcome of a negotiation for a pair.
type Agreement struct {
	// SA has the SPIs, cipher, keys, selectors and path, and of a new pair OtherPorts. Install sets
	// the rest.
	SA       ipsec.ChildSA
	Origin   Origin
	Creator  bool  // we asked for it
	Replaces *Pair // nil: a new one
	Further  bool  // beside another one, for a single resource
	Grouped  bool  // both sides agreed that there may be others for single resources
}

// Install adds a pair to the chain and makes the dataplane accept packets on it.
func (t *Table) Install(c Carrier, l *Chain, a Agreement) *Pair {
	t.last++
	l = l.Now().home()
	pol := l.policy
	p := &Pair{SA: a.SA, Origin: a.Origin, policy: pol, carrier: c, creator: a.Creator, grouped: a.Grouped}
	switch {
	case a.Replaces != nil:
		p.grouped, p.SA.OtherPorts = a.Replaces.grouped, a.Replaces.SA.OtherPorts
	case !a.Further && l.IsMain():
		pol.group = group{able: a.Grouped}
	}
	l.add(p)
	p.SA.ID, p.SA.Policy, p.SA.Name = t.last, pol.ID, pol.Name
	p.SA.Limits, p.SA.ReplayWindow = pol.Settings.Limits, pol.Settings.ReplayWindow
	p.SA.LocalTS, p.SA.RemoteTS = selector.Normalize(a.SA.LocalTS), selector.Normalize(a.SA.RemoteTS)
	p.SA.Resource, p.SA.PerResource = l.resource, p.grouped && t.host.Workers() > 1
	p.dates.born = t.host.Now()
	p.dates.soft.Fire, p.dates.hard.Fire, p.dates.use.Fire = p.softDue, p.Expired, p.useAlone
	t.pairs[p.SA.ID] = p
	c.Children().add(p)
	t.host.InstallInbound(p.SA)
	p.SA.KeyIn, p.SA.KeyOut = nil, nil // who carries the effect out clears them
	p.schedule()
	if !c.Ending() { // otherwise the pair ends at once, and nothing becomes wanted by it
		pol.installed()
	}
	pol.compare()
	pol.owner.Touch()
	if pol.closed { // while it was negotiated
		pol.want = false
		p.Delete(EndLocal, "its child is no longer configured")
	}
	return p
}

// parts counts the answers for a command about several pairs.
type parts struct {
	left int
	told bool // an error was reported
}

// answer answers a command when all its parts have ended, or at the first error.
func (t *Table) answer(ref uint64, err error) {
	p := t.parts[ref]
	if p == nil {
		t.host.Done(ref, err)
		return
	}
	p.left--
	if !p.told && (err != nil || p.left == 0) {
		p.told = true
		t.host.Done(ref, err)
	}
	if p.left == 0 {
		delete(t.parts, ref)
	}
}
