package guard

import (
	"errors"
	"maps"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// counts is what the counters of a table hold.
type counts struct {
	Stats
	byPolicy map[protect.ID]Drops
}

// max returns the greater of each counter.
func (c counts) max(o counts) counts {
	out := counts{c.Stats.max(o.Stats), maps.Clone(c.byPolicy)}
	for id, d := range o.byPolicy {
		if out.byPolicy == nil {
			out.byPolicy = make(map[protect.ID]Drops)
		}
		have := out.byPolicy[id]
		out.byPolicy[id] = Drops{max(have.Out, d.Out), max(have.In, d.In)}
	}
	return out
}

func (st Stats) max(o Stats) Stats {
	return Stats{max(st.Out, o.Out), max(st.In, o.In), max(st.ICMP, o.ICMP), max(st.Repairs, o.Repairs)}
}

// look reads the counters. Where the table is gone, what it counted last stands.
func (g *Guard) readCounters() {
	got, err := g.socket.countersOf(g.cfg.Device)
	if err != nil {
		return
	}
	g.counted = g.counted.max(got)
}

// countersOf returns what the table of a device has counted.
func (s *socket) countersOf(device string) (c counts, err error) {
	for _, table := range tableNames(device) {
		got, err := s.counters(table)
		if err != nil {
			return c, err
		}
		c = c.max(got)
	}
	return c, nil
}

// counters returns the counters of a table; zero if there is no such table.
func (s *socket) counters(table string) (c counts, err error) {
	b := newBatch(table)
	b.begin(subsystem|unix.NFT_MSG_GETOBJ, unix.NLM_F_DUMP, "the counters")
	b.text(unix.NFTA_OBJ_TABLE, table)
	err = s.retry(b, func() { c = counts{} }, func(_ uint16, data []byte) { c.add(parseCounter(data)) })
	if errors.Is(err, unix.ENOENT) {
		return counts{}, nil
	}
	return c, err
}

// add takes the counter of a name.
func (c *counts) add(name string, n uint64) {
	switch name {
	case counterOut:
		c.Out = n
	case counterIn:
		c.In = n
	case counterICMP:
		c.ICMP = n
	}
	way, id, ok := parsePolicyCounter(name)
	if !ok {
		return
	}
	if c.byPolicy == nil {
		c.byPolicy = make(map[protect.ID]Drops)
	}
	d := c.byPolicy[id]
	switch way {
	case counterOut:
		d.Out = n
	case counterIn:
		d.In = n
	}
	c.byPolicy[id] = d
}

// Stats returns what was counted.
func (g *Guard) Stats() Stats {
	st, _ := g.Counted()
	return st
}

// Counted returns what was counted, and what of it for the policies of the latest Attribute that
// have counters.
func (g *Guard) Counted() (Stats, map[protect.ID]Drops) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.socket != nil {
		g.readCounters()
	}
	by := make(map[protect.ID]Drops, len(g.image.whose.policies))
	for id := range g.image.whose.policies {
		by[id] = g.counted.byPolicy[id]
	}
	return g.counted.Stats, by
}

// Attribute has what is dropped from now on counted for its owners as well. The counters of policies
// that are not among them any more are gone; those of an earlier daemon for the others go on. It
// follows Apply, and what it returns an error for has no effect on what is dropped.
func (g *Guard) Attribute(o *protect.Owners) error {
	err := g.change(func(b *batch) { g.image.attribute(b, o, g.counted.byPolicy) })
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.counted.byPolicy, func(id protect.ID, _ Drops) bool { return !g.image.whose.policies[id] })
	return err
}
