package guard

import (
	"errors"
	"maps"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// counts holds the values of a table's counters.
type counts struct {
	Stats
	byPolicy map[string]Drops // by the policies' names, which alone outlive the daemon
}

// max returns the greater of each counter.
func (c counts) max(o counts) counts {
	out := counts{c.Stats.max(o.Stats), maps.Clone(c.byPolicy)}
	for name, d := range o.byPolicy {
		if out.byPolicy == nil {
			out.byPolicy = make(map[string]Drops)
		}
		have := out.byPolicy[name]
		out.byPolicy[name] = Drops{max(have.Out, d.Out), max(have.In, d.In)}
	}
	return out
}

// max returns the greater of each counter.
func (st Stats) max(o Stats) Stats {
	return Stats{max(st.Out, o.Out), max(st.In, o.In), max(st.ICMP, o.ICMP), max(st.Repairs, o.Repairs)}
}

// readCounters updates g.counted from the kernel. The values stay if the table is gone.
func (g *Guard) readCounters() {
	got, err := g.socket.countersOf(g.cfg.Device)
	if err != nil {
		return
	}
	g.counted = g.counted.max(got)
}

// countersOf returns the counters of a device's table.
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

// counters returns the counters of a table, zero if there is no such table.
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

// add sets the counter of a name to n.
func (c *counts) add(name string, n uint64) {
	switch name {
	case counterOut:
		c.Out = n
	case counterIn:
		c.In = n
	case counterICMP:
		c.ICMP = n
	}
	way, policy, ok := parsePolicyCounter(name)
	if !ok {
		return
	}
	if c.byPolicy == nil {
		c.byPolicy = make(map[string]Drops)
	}
	d := c.byPolicy[policy]
	switch way {
	case counterOut:
		d.Out = n
	case counterIn:
		d.In = n
	}
	c.byPolicy[policy] = d
}

// Stats returns the counters.
func (g *Guard) Stats() Stats {
	st, _ := g.Counted()
	return st
}

// Counted returns the counters, and those of the policies of the latest Attribute that have any.
func (g *Guard) Counted() (Stats, map[protect.ID]Drops) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.socket != nil {
		g.readCounters()
	}
	by := make(map[protect.ID]Drops, len(g.image.attributed.policies))
	for id, name := range g.image.attributed.policies {
		by[id] = g.counted.byPolicy[name]
	}
	return g.counted.Stats, by
}

// Attribute makes the guard count drops for their owners as well. The counters of policies that no
// longer own flows are deleted; those of the same name continue, whether an earlier daemon left
// them or a policy with another ID. It follows Apply. An error has no effect on what is dropped.
func (g *Guard) Attribute(o *protect.Owners) error {
	err := g.change(func(b *batch) { g.image.attribute(b, o, g.counted.byPolicy) })
	g.mu.Lock()
	defer g.mu.Unlock()
	names := g.image.attributed.names()
	maps.DeleteFunc(g.counted.byPolicy, func(name string, _ Drops) bool { return !names[name] })
	return err
}
