package daemon

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"reflect"

	"culvert/esp"
	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/ipsec"
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
	for name, m := range next {
		if m.id == 0 && m.reason == "" {
			next[name] = d.installManual(m)
		}
	}
	d.mu.Lock()
	d.manual = next
	d.mu.Unlock()
}

// takeOutManual removes a manual SA. Should it be replaced by one of the same SPIs and keys, with
// another address or other networks, that one goes on with its sequence numbers: the peer, which
// knows of no change, would take others for replays.
func (d *Daemon) takeOutManual(was manualSA, next map[ipsec.PolicyName]manualSA) {
	state, ok := d.plane.TakeOut(was.id)
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

func (d *Daemon) installManual(m manualSA) manualSA {
	log := d.log.With("peer", m.sa.Name.Peer, "child", m.sa.Name.Child)
	d.lastID = max(d.lastID+1, firstManualID)
	sa := m.sa
	sa.ID, sa.State = d.lastID, m.state
	var start [8]byte
	_, _ = rand.Read(start[:]) // never fails (crypto/rand)
	sa.IVStart = binary.BigEndian.Uint64(start[:])
	if err := d.plane.InstallInbound(sa); err != nil {
		m.reason = err.Error()
		log.Error("manual SA not installed", "event", "child-failed", "error", err)
		return m
	}
	m.id = sa.ID
	d.keys.writeESP(&sa)
	d.plane.ActivateOutbound(m.id)
	log.Info("manual SA installed", "event", "child-up")
	return m
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
	return manualSA{sa: ipsec.ChildSA{
		Policy: d.policies.of(p.Name, m.Name), Name: ipsec.PolicyName{Peer: p.Name, Child: m.Name},
		SPIIn: m.SPIIn, SPIOut: m.SPIOut, KeyIn: m.KeyIn, KeyOut: m.KeyOut,
		Cipher: m.Cipher, ESN: m.ESN, ReplayWindow: m.ReplayWindow, Path: path,
		LocalTS: m.Local, RemoteTS: m.Remote,
	}}
}
