package daemon

import (
	"reflect"
	"slices"

	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/tun/protect"
)

// A difference is the changes from one configuration to the next. The packet path and the engine
// receive only these, so the cost of a changed peer does not depend on the number of other peers.
type difference struct {
	next     *config.Config
	whole    bool           // there is no previous configuration: everything is new
	set      []*config.Peer // new or changed peers of next
	gone     []string       // removed peers
	policies []protect.ID   // removed children of any peer
}

// compare returns the difference between two configurations; before may be nil.
func compare(before, next *config.Config) difference {
	d := difference{next: next}
	// The usable addresses of a peer depend on our own, and the protected networks on [daemon]
	// bypass.
	d.whole = before == nil || !slices.Equal(before.Daemon.Listen, next.Daemon.Listen) ||
		!slices.Equal(before.Daemon.Bypass, next.Daemon.Bypass)
	for i := range next.Peers {
		p := &next.Peers[i]
		if d.whole || !reflect.DeepEqual(before.Peer(p.Name), p) {
			d.set = append(d.set, p)
		}
	}
	if d.whole {
		return d
	}
	for _, p := range d.set {
		if old := before.Peer(p.Name); old != nil {
			d.lose(old, p.Order)
		}
	}
	for i := range before.Peers {
		if old := &before.Peers[i]; next.Peer(old.Name) == nil {
			d.gone = append(d.gone, old.Name)
			d.lose(old, nil)
		}
	}
	return d
}

// lose notes the children of a peer that are not in stay.
func (d *difference) lose(old *config.Peer, stay []string) {
	for _, name := range old.Order {
		if !slices.Contains(stay, name) {
			d.policies = append(d.policies, protect.ID{Peer: old.Name, Child: name})
		}
	}
}

// ceilings returns the configured MTUs of peers.
func ceilings(c *config.Config) map[string]int {
	m := make(map[string]int)
	for i := range c.Peers {
		if p := &c.Peers[i]; p.MTU > 0 {
			m[p.Name] = p.MTU
		}
	}
	return m
}

// applyToFlows changes the protected flows to those of the policies of all changed peers, and
// returns the change for the kernel.
func (d *difference) applyToFlows(flows *protect.Set, policies []ipsec.Policy) protect.Change {
	set, gone := protectedBy(d.next, policies)
	gone = append(gone, d.policies...)
	if d.whole {
		gone = flows.IDs() // those of set come back, which is not a change
	}
	return flows.Change(set, gone)
}
