package ike

import (
	"reflect"
	"slices"

	"culvert/ike/child"
)

// A Reach is what a changed setting does to the SAs that exist, the least first.
type Reach uint8

// Values of Reach.
const (
	ReachNone    Reach = iota // it is in force at once, and all SAs stay
	ReachRekey                // it is in force from the next rekeying; all SAs stay
	ReachConnect              // it is in force from the next IKE SA that is not a rekeyed one; all SAs stay
	ReachChild                // the SAs of the child are closed, all others stay
	ReachPeer                 // all SAs of the peer are closed
)

// A Change is one changed setting of a peer.
type Change struct {
	Key   string // as in the configuration
	Child string // of which it is a setting; empty: of the peer
	Reach Reach
}

// peerSettings lists the settings of a peer. Parts of one setting share a key.
var peerSettings = []struct {
	key   string
	reach Reach
	of    func(*Peer) any
}{
	{"name", ReachPeer, func(p *Peer) any { return p.Name }},
	{"remote", ReachConnect, func(p *Peer) any { return p.Remote }},
	{"remote_ike_port", ReachConnect, func(p *Peer) any { return p.RemotePort }},
	{"remote_nat_port", ReachConnect, func(p *Peer) any { return p.RemoteNATPort }},
	{"local", ReachPeer, func(p *Peer) any { return p.Local }},
	{"transport", ReachConnect, func(p *Peer) any { return p.Transport }},
	{"local_id", ReachPeer, func(p *Peer) any { return p.LocalID }},
	{"remote_id", ReachPeer, func(p *Peer) any { return []any{p.RemoteID, p.Parties} }},
	{"max_parties", ReachNone, func(p *Peer) any { return p.MaxParties }},
	{"psk", ReachConnect, func(p *Peer) any { return []any{p.PSK, p.OtherPSKs, p.Credential} }},
	{"auth", ReachConnect, func(p *Peer) any { return p.Auth }},
	{"remote_auth", ReachConnect, func(p *Peer) any { return p.RemoteAuth }},
	{"cert", ReachConnect, func(p *Peer) any { return p.Certificates.chains() }},
	{"key", ReachConnect, func(p *Peer) any { return p.Certificates.publicKeys() }},
	{"ca", ReachConnect, func(p *Peer) any { return p.Certificates.authorities() }},
	{"remote_key", ReachConnect, func(p *Peer) any { return p.Certificates.pinned() }},
	{"remote_eku", ReachConnect, func(p *Peer) any { return p.Certificates.purpose() }},
	{"rsa_padding", ReachConnect, func(p *Peer) any { return p.Certificates.preferences().PKCS1 }},
	{"rsa_sha1", ReachConnect, func(p *Peer) any { return p.Certificates.preferences().SHA1 }},
	// Without a secret nobody is the peer any more.
	{"psk", ReachPeer, func(p *Peer) any { return len(p.PSK) == 0 && p.Credential == nil && p.Certificates == nil }},
	{"ike_proposals", ReachRekey, func(p *Peer) any { return p.Proposals }},
	{"ike_lifetime", ReachRekey, func(p *Peer) any { return p.Lifetime }},
	{"auth_lifetime", ReachConnect, func(p *Peer) any { return p.AuthLifetime }},
	{"encap", ReachPeer, func(p *Peer) any { return p.Encap }},
	{"dpd", ReachNone, func(p *Peer) any { return p.DPD }},
	{"dpd_action", ReachNone, func(p *Peer) any { return p.DPDAction }},
	{"retransmit", ReachNone, func(p *Peer) any { return p.Retransmit }},
	{"retry", ReachNone, func(p *Peer) any { return p.Reconnect }},
	{"priority", ReachNone, func(p *Peer) any { return p.Priority }},
	{"fragment", ReachConnect, func(p *Peer) any { return p.Fragment }},
	{"childless", ReachConnect, func(p *Peer) any { return p.Childless }},
	{"per_cpu", ReachPeer, func(p *Peer) any { return p.PerResource }},
}

// childSettings lists the settings of a child.
var childSettings = []struct {
	key   string
	reach Reach
	of    func(*Child) any
}{
	{"local", ReachChild, func(c *Child) any { return c.Local }},
	{"remote", ReachChild, func(c *Child) any { return c.Remote }},
	{"proposals", ReachRekey, func(c *Child) any { return c.Proposals }},
	{"start", ReachNone, func(c *Child) any { return c.Start }},
	{"children", ReachChild, func(c *Child) any { return c.Children }},
	{"mode", ReachChild, func(c *Child) any { return c.Mode }},
	{"narrow", ReachNone, func(c *Child) any { return c.Narrow }},
	{"lifetime", ReachRekey, func(c *Child) any { return []any{c.Lifetime, c.Limits} }},
	{"replay_window", ReachRekey, func(c *Child) any { return c.ReplayWindow }},
}

// Changes returns what differs between two configurations of a peer. The engine acts by it. A child
// that one of them lacks is one Change without a Key.
func Changes(was, now *Peer) (list []Change) {
	for _, s := range peerSettings {
		if !reflect.DeepEqual(s.of(was), s.of(now)) {
			list = append(list, Change{Key: s.key, Reach: s.reach})
		}
	}
	for i := range was.Children {
		old := &was.Children[i]
		c := childOf(now, old.Name)
		if c == nil {
			list = append(list, Change{Child: old.Name, Reach: ReachChild})
			continue
		}
		for _, s := range childSettings {
			if !reflect.DeepEqual(s.of(old), s.of(c)) {
				list = append(list, Change{Key: s.key, Child: c.Name, Reach: s.reach})
			}
		}
	}
	for i := range now.Children {
		if c := &now.Children[i]; childOf(was, c.Name) == nil {
			list = append(list, Change{Child: c.Name, Reach: ReachNone})
		}
	}
	return list
}

// Furthest returns the furthest reach of the changes.
func Furthest(list []Change) (most Reach) {
	for _, c := range list {
		most = max(most, c.Reach)
	}
	return most
}

func childOf(p *Peer, name string) *Child {
	if i := slices.IndexFunc(p.Children, func(c Child) bool { return c.Name == name }); i >= 0 {
		return &p.Children[i]
	}
	return nil
}

// survives reports whether the profile's IKE SAs stay under another configuration.
func (p *profile) survives(cfg *Peer) bool { return Furthest(Changes(&p.given, cfg)) < ReachPeer }

// sameChild reports whether the policy of a child stays under another configuration.
func sameChild(pol *child.Policy, cfg *Peer) bool {
	c := childOf(cfg, pol.Settings.Name)
	return c != nil && reflect.DeepEqual(c.Local, pol.Settings.Local) && reflect.DeepEqual(c.Remote, pol.Settings.Remote) && c.Children == pol.Settings.Children && c.Mode == pol.Settings.Mode
}

// adopt applies a configuration that the IKE SAs survive. The caller has taken the profile out of
// the indexes of the table, and puts it back.
func (p *profile) adopt(cfg Peer) {
	p.setAddresses(cfg)
	monitored := p.cfg.DPD != cfg.DPD
	p.given, p.cfg = cfg, withDefaults(cfg)
	p.announced = announcementOf(encodeAnnouncement(p.announceCredential(false)))
	p.e.holds.prune(&cfg)
	for q := range p.all() {
		q.adoptChildren()
		for _, s := range q.sas {
			if monitored && s.state == saEstablished {
				s.live.schedule()
			}
		}
		p.e.touch(q)
	}
	p.regroup()
}

// adoptChildren makes the party's policies those of the configuration. Policies whose networks
// stay keep their pairs.
func (p *party) adoptChildren() {
	old := p.policies
	p.policies = nil
	fresh := false
	for _, c := range p.cfg.Children {
		i := slices.IndexFunc(old, func(pol *child.Policy) bool { return pol.Settings.Name == c.Name })
		if i >= 0 && sameChild(old[i], &p.cfg) {
			old[i].Adopt(c)
			p.policies = append(p.policies, old[i])
			continue
		}
		pol := p.plannedPolicy(c)
		if i >= 0 {
			pol.Follow(old[i])
		}
		p.policies, fresh = append(p.policies, pol), true
	}
	for _, pol := range old {
		if !slices.Contains(p.policies, pol) {
			p.drop(pol)
			fresh = true
		}
	}
	if fresh {
		p.closeUnfinished()
	}
}

// drop ends a policy that is no longer configured.
func (p *party) drop(pol *child.Policy) {
	p.waiters.failed(pol, errChanged)
	pol.Close()
	p.e.policies.remove(p.e, pol)
	if delete(p.agreed, pol); p.isOne() {
		p.members.claims.set(p, rangesOf(p.remotes()))
	}
	pol.DeleteAll(whyChanged)
}

// closeUnfinished closes the IKE SAs that are being set up for children as they were before.
func (p *party) closeUnfinished() {
	for _, s := range slices.Clone(p.sas) {
		if s.life.established.IsZero() {
			s.close(whyChanged)
		}
	}
}
