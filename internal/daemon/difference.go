package daemon

import (
	"reflect"
	"slices"

	"culvert/dataplane"
	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/protect"
)

// A difference is the changes from one configuration to the next. The packet path and the engine
// receive only these, so the cost of a changed peer does not depend on the number of other peers.
type difference struct {
	next     *config.Config
	whole    bool           // there is no previous configuration: everything is new
	set      []*config.Peer // new or changed peers of next
	gone     []string       // removed peers
	policies []ipsec.Policy // removed policies of any peer
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

// lose notes the policies of a peer that are not in stay.
func (d *difference) lose(old *config.Peer, stay []string) {
	for _, name := range old.Order {
		if !slices.Contains(stay, name) {
			d.policies = append(d.policies, ipsec.Policy{Peer: old.Name, Child: name})
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

// applyTo changes the SPD and the MTU ceilings of its SAs.
func (d *difference) applyTo(plane packetPath) error {
	plane.SetCeilings(ceilings(d.next))
	var set []dataplane.PolicyConfig
	for _, p := range d.set {
		eachChild(p, func(p *config.Peer, name string, local, remote []selector.Selector) {
			set = append(set, dataplane.PolicyConfig{Policy: ipsec.Policy{Peer: p.Name, Child: name}, Local: local, Remote: remote})
		})
	}
	switch {
	case d.whole:
		return plane.SetPolicies(set)
	case len(set) == 0 && len(d.policies) == 0:
		return nil
	}
	return plane.ChangePolicies(set, d.policies)
}

// applyToFlows changes the protected flows and returns the change for the kernel.
func (d *difference) applyToFlows(flows *protect.Set) protect.Change {
	var set []protect.Policy
	var gone []protect.ID
	for _, p := range d.set {
		some, none := protectedBy(p, d.next.Daemon.Bypass)
		set, gone = append(set, some...), append(gone, none...)
	}
	for _, p := range d.policies {
		gone = append(gone, protect.ID{Peer: p.Peer, Child: p.Child})
	}
	if d.whole {
		gone = flows.IDs() // those of set come back, which is not a change
	}
	return flows.Change(set, gone)
}
