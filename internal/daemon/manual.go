package daemon

import (
	"crypto/subtle"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"culvert/esp"
	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// firstManualID is above every Child SA ID of IKE: no policy has SAs of both.
const firstManualID = ipsec.ChildID(1) << 62

// A manualSA is an installed manual child, or the reason why it is not installed.
type manualSA struct {
	id     ipsec.ChildID // 0: not installed
	sa     ipsec.ChildSA // without ID
	state  esp.State     // of the one that it replaces, with the same keys
	reason string
}

// setManual installs, replaces and removes manual children as configured. d.applying is held.
func (d *Daemon) setManual(c *config.Config) {
	d.mu.Lock()
	old := d.manual
	d.mu.Unlock()
	next := map[ipsec.PolicyName]manualSA{}
	for i := range c.Peers {
		for j := range c.Peers[i].Manual {
			m := d.manualFor(c, &c.Peers[i], &c.Peers[i].Manual[j])
			if was := old[m.sa.Name]; was.id != 0 && reflect.DeepEqual(was.sa, m.sa) {
				m = was
			}
			next[m.sa.Name] = m
		}
	}
	for name, was := range old { // first, because a new one may have the SPI of an old one
		if was.id != 0 && next[name].id != was.id {
			d.takeOutManual(was, next)
			d.log.Info("manual SA removed", "event", "child-down", "peer", name.Peer, "child", name.Child)
		}
	}
	d.installManual(next)
	d.mu.Lock()
	d.manual = next
	d.mu.Unlock()
}

// takeOutManual removes a manual SA. Should it be replaced by one of the same SPIs and keys, with
// another address or other networks, that one goes on with its sequence numbers: the peer, which
// knows of no change, would take others for replays.
func (d *Daemon) takeOutManual(was manualSA, next map[ipsec.PolicyName]manualSA) {
	state, ok := d.plane.TakeOut(was.id)
	d.recorder.end(was.id, state)
	if m := next[was.sa.Name]; ok && sameKeys(&m.sa, &was.sa) {
		m.state = state
		next[was.sa.Name] = m
	}
}

// sameKeys reports whether two SA pairs have the same keys and SPIs in both directions.
func sameKeys(a, b *ipsec.ChildSA) bool {
	return a.SPIIn == b.SPIIn && a.SPIOut == b.SPIOut && a.Cipher == b.Cipher && a.ESN == b.ESN &&
		subtle.ConstantTimeCompare(a.KeyIn, b.KeyIn) == 1 && subtle.ConstantTimeCompare(a.KeyOut, b.KeyOut) == 1
}

// installManual installs those of the SAs that are not, once their sequence numbers are on record.
func (d *Daemon) installManual(list map[ipsec.PolicyName]manualSA) {
	next := map[ipsec.PolicyName]*ipsec.ChildSA{}
	for name, m := range list {
		if m.id == 0 && m.reason == "" {
			d.lastID = max(d.lastID+1, firstManualID)
			sa := m.sa
			sa.ID, sa.State = d.lastID, m.state
			next[name] = &sa
		}
	}
	if len(next) == 0 {
		return
	}
	err := d.recorder.begin(slices.Collect(maps.Values(next)))
	for name, sa := range next {
		m, log := list[name], d.log.With("peer", name.Peer, "child", name.Child)
		if err == nil || !needsRecord(sa) {
			m.id, m.reason = d.installOne(sa)
		} else {
			m.reason = err.Error()
		}
		if list[name] = m; m.id == 0 {
			log.Error("manual SA not installed", "event", "child-failed", "error", m.reason)
			continue
		}
		log.Info("manual SA installed", "event", "child-up")
	}
}

// installOne installs a manual SA, and returns its ID, or why it is not installed.
func (d *Daemon) installOne(sa *ipsec.ChildSA) (id ipsec.ChildID, reason string) {
	if err := d.plane.InstallInbound(*sa); err != nil {
		d.recorder.cancel(sa.ID)
		return 0, err.Error()
	}
	d.keys.writeESP(sa)
	d.plane.ActivateOutbound(sa.ID)
	return sa.ID, ""
}

// usedUp reports whether an installed manual SA has sent its last packet, or may have: a
// super-packet that does not fit into the sequence numbers that are left ends an SA.
func (d *Daemon) usedUp(m *manualSA) bool {
	s, ok := d.plane.State(m.id)
	return ok && m.sa.SPIOut != 0 && lastSequence(&m.sa)-min(s.Sent.Packets, lastSequence(&m.sa)) < 1024
}

// manualFor returns the SA of a manual child, or the reason why there is none yet.
func (d *Daemon) manualFor(c *config.Config, p *config.Peer, m *config.Manual) manualSA {
	d.mu.Lock()
	addrs := remotes(c, p, d.found)
	d.mu.Unlock()
	if len(addrs) == 0 {
		reason := d.unresolved(p)
		if reason == "" {
			reason = p.RemoteName + " has no address of a family that this host sends from"
		}
		return manualSA{reason: reason, sa: ipsec.ChildSA{Policy: d.policies.of(p.Name, m.Name), Name: ipsec.PolicyName{Peer: p.Name, Child: m.Name}}}
	}
	local := p.Local
	if !local.IsValid() {
		// Without a route to the peer yet, the system chooses the source of each packet.
		local, _ = d.net.LocalAddr(addrs[0])
	}
	path := ipsec.RawPath(local, addrs[0])
	if p.Encap == ike.EncapAlways || p.Encap == ike.EncapAuto && !d.net.RawESP() {
		path = ipsec.NATPath(netip.AddrPortFrom(local, c.Daemon.NATPort), netip.AddrPortFrom(addrs[0], p.RemoteNATPort))
	}
	hosts, reason := hostsOf(m, &path)
	return manualSA{reason: reason, sa: ipsec.ChildSA{
		Policy: d.policies.of(p.Name, m.Name), Name: ipsec.PolicyName{Peer: p.Name, Child: m.Name},
		SPIIn: m.SPIIn, SPIOut: m.SPIOut, KeyIn: m.KeyIn, KeyOut: m.KeyOut,
		Cipher: m.Cipher, ESN: m.ESN, ReplayWindow: m.ReplayWindow, Path: path,
		LocalTS: m.Local, RemoteTS: m.Remote, Hosts: hosts,
	}}
}

// hostsOf returns the two ends of a manual child in transport mode, between which no NAT is known,
// or the reason why it cannot be used on a path.
func hostsOf(m *config.Manual, path *ipsec.Path) (h ipsec.Hosts, reason string) {
	if !m.Transport {
		return h, ""
	}
	local, _ := selector.Host(m.Local)
	remote, _ := selector.Host(m.Remote)
	if ours, theirs := path.Local().Addr(), path.Remote().Addr(); local != ours || remote != theirs {
		return h, fmt.Sprintf("transport mode protects %v with %v, and the path is from %v to %v: correct local and remote of the child, or of the peer", local, remote, ours, theirs)
	}
	return ipsec.Hosts{Local: local, Remote: remote, SeenLocal: local, SeenRemote: remote}, ""
}
