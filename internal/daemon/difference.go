package daemon

import (
	"reflect"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/tun/protect"
)

// A difference is the changes from one configuration to the next. The packet path and the engine
// receive only these, so the cost of a changed peer does not depend on the number of other peers.
type difference struct {
	next  *config.Config
	whole bool               // there is no previous configuration: everything is new
	set   []*config.Peer     // new or changed peers of next
	gone  []string           // removed peers
	lost  []ipsec.PolicyName // removed children of any peer
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
		if d.whole || !unchanged(before.Peer(p.Name), p) {
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

// unchanged reports whether two configurations of a peer are the same. Keys and certificates have
// parts that differ each time that they are read, and are compared by what they say.
func unchanged(old, p *config.Peer) bool {
	if old == nil || len(ike.Changes(&old.Peer, &p.Peer)) > 0 || !slices.Equal(crlsOf(old), crlsOf(p)) {
		return false
	}
	a, b := *old, *p
	a.Certificates, b.Certificates, a.CRLs, b.CRLs = nil, nil, nil, nil
	return reflect.DeepEqual(&a, &b)
}

// lose notes the children of a peer that are not in stay.
func (d *difference) lose(old *config.Peer, stay []string) {
	for _, name := range old.Order {
		if !slices.Contains(stay, name) {
			d.lost = append(d.lost, ipsec.PolicyName{Peer: old.Name, Child: name})
		}
	}
}

// applyToFlows changes the protected flows as a change of the policies asks, and returns the change
// for the kernel. Flows that one policy protected and another one protects from now on are no
// change.
func (d *difference) applyToFlows(flows *protect.Set, c *policyChange) protect.Change {
	set, gone := protectedBy(d.next, c.set)
	for _, id := range c.gone {
		gone = append(gone, protect.ID(id))
	}
	if d.whole {
		gone = flows.IDs()
	}
	return flows.Change(set, gone)
}
