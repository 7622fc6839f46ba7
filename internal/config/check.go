package config

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"

	"culvert/ike"
	"culvert/ike/identity"
	"culvert/selector"
)

// checkAll makes the checks across all files and peers.
func (l *loader) checkAll() {
	l.checkPeers()
	l.checkSPIs()
	l.checkOverlaps()
	l.checkDaemonBypass()
	l.checkMTU()
}

// place returns a key's file and line, for errors reported elsewhere.
func (s section) place(name string) string {
	return fmt.Sprintf("%s:%d", s.file.name, s.line(name))
}

// A caller holds the properties by which IKE tells one peer from another before it is verified.
type caller struct {
	remote, local     string
	localID, remoteID identity.ID
}

// A proof is a caller and one of the secrets, CAs or keys by which it is verified, as a digest.
type proof struct {
	caller
	secret [sha256.Size]byte
}

// checkPeers refuses two peers with one name, and two that IKE cannot tell apart.
func (l *loader) checkPeers() {
	byName, byProof, alike := map[string]rawPeer{}, map[proof]rawPeer{}, map[caller]int{}
	for i, raw := range l.peers {
		p := &l.config.Peers[i]
		if first, ok := byName[p.Name]; ok && p.Name != "" {
			raw.fail("name", "name = %q is already used by the peer at %s; choose another name", p.Name, first.place("name"))
		} else {
			byName[p.Name] = raw
		}
		if p.Local.IsValid() && !l.config.Daemon.listensOn(p.Local) {
			raw.fail("local", "local = %s is not covered by listen in [daemon]; add it there, or omit local", p.Local)
		}
		if len(p.Children) == 0 || p.RemoteID == (identity.ID{}) {
			continue
		}
		l.checkCaller(p, raw, byProof, alike)
	}
}

// checkCaller refuses a peer that one of those before is like in all that tells peers apart, or too
// many are like but for their secrets: each of those would be tried.
func (l *loader) checkCaller(p *Peer, raw rawPeer, byProof map[proof]rawPeer, alike map[caller]int) {
	c := caller{remoteOf(p), localDefault(p), p.LocalID, p.RemoteID}
	if alike[c]++; alike[c] == ike.MaxCandidates+1 {
		raw.fail("remote_id", "remote, local_id and remote_id are those of %d other peers as well, and a caller is tried as %d peers at most; give each a remote_id of its own", ike.MaxCandidates, ike.MaxCandidates)
	}
	by, proofs := proofsOf(p)
	for _, secret := range proofs {
		if first, ok := byProof[proof{c, sha256.Sum256(secret)}]; ok {
			raw.fail("remote_id", "remote, local_id, remote_id and %s are those of the peer at %s as well, so IKE cannot tell the two apart; make them one peer with several children, or give them different %s", by, first.place(""), map[bool]string{true: "secrets", false: "ones"}[by == "psk"])
			return
		}
	}
	for _, secret := range proofs {
		byProof[proof{c, sha256.Sum256(secret)}] = raw
	}
}

// proofsOf returns what a caller may prove itself by to be the peer, and the keys that have it.
func proofsOf(p *Peer) (by string, out [][]byte) {
	c := p.Certificates
	if c == nil || c.Trust == nil && len(c.RemoteKeys) == 0 {
		return "psk", slices.Concat([][]byte{p.PSK}, p.OtherPSKs)
	}
	by = "ca or remote_key"
	if slices.Contains(p.RemoteAuth, ike.AuthPSK) {
		by, out = "psk, ca or remote_key", slices.Concat([][]byte{p.PSK}, p.OtherPSKs)
	}
	for _, ca := range c.Trust.Authorities() {
		out = append(out, append([]byte("ca"), ca.RawSubjectPublicKeyInfo...))
	}
	for _, key := range c.RemoteKeys {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err == nil {
			out = append(out, append([]byte("key"), der...))
		}
	}
	return by, out
}

// checkSPIs refuses two manual children that receive on one SPI.
func (l *loader) checkSPIs() {
	seen := map[uint32]string{}
	for i := range l.config.Peers {
		p := &l.config.Peers[i]
		for _, m := range p.Manual {
			at := slices.Index(p.Order, m.Name)
			if m.SPIIn == 0 || at < 0 || at >= len(l.peers[i].children) {
				continue
			}
			child := l.peers[i].children[at]
			if first, ok := seen[m.SPIIn]; ok {
				child.fail("manual", "spi_in = 0x%x is already used by the child at %s; choose another SPI", m.SPIIn, first)
				continue
			}
			seen[m.SPIIn] = child.place("manual")
		}
	}
}

// checkMTU refuses ceilings below the least MTU of IPv6 for peers with IPv6 networks.
func (l *loader) checkMTU() {
	for i, raw := range l.peers {
		p := &l.config.Peers[i]
		if p.MTU != 0 && p.MTU < minMTU6 && p.has6() {
			raw.fail("mtu", "mtu = %d is too small for the IPv6 networks of a child; use at least %d, or move the IPv4 networks to a peer of their own", p.MTU, minMTU6)
		}
	}
	d := &l.config.Daemon
	if i := slices.IndexFunc(l.config.Peers, func(p Peer) bool { return p.has6() }); d.MTU != 0 && d.MTU < minMTU6 && i >= 0 {
		l.top.fail("mtu", "mtu = %d is too small for the IPv6 networks of peer %q; use at least %d", d.MTU, l.config.Peers[i].Name, minMTU6)
	}
}

// has6 reports whether a child has IPv6 networks.
func (p *Peer) has6() bool {
	v6 := func(s selector.Selector) bool { return s.Is6() }
	return slices.ContainsFunc(p.Children, func(c ike.Child) bool { return slices.ContainsFunc(c.Remote, v6) }) ||
		slices.ContainsFunc(p.Manual, func(m Manual) bool { return slices.ContainsFunc(m.Remote, v6) })
}

// A claim is one remote selector of a child, which claims the packets to that range.
type claim struct {
	child  int // index into claimants
	remote selector.Selector
}

// A claimant is one child in the search for overlaps.
type claimant struct {
	section
	local, remote []selector.Selector
	bypass        []netip.Prefix
	peer          int // index
	priority      int // 0: it is not one of several for its networks
}

// checkOverlaps refuses two children that claim the same packet. It allows a smaller remote network
// inside a larger one, where the longest prefix decides. It sweeps over all remote ranges in the
// order of their starts.
func (l *loader) checkOverlaps() {
	children, claims := l.claims()
	slices.SortStableFunc(claims, func(a, b claim) int {
		if c := a.remote.Start.Compare(b.remote.Start); c != 0 {
			return c
		}
		return b.remote.End.Compare(a.remote.End)
	})
	reported := map[[2]int]bool{}
	var around []claim // those that began before and have not ended
	for _, c := range claims {
		around = slices.DeleteFunc(around, func(a claim) bool { return a.remote.End.Less(c.remote.Start) })
		for _, a := range around {
			pair := [2]int{min(a.child, c.child), max(a.child, c.child)}
			if a.child == c.child || reported[pair] || strictlyWithin(c.remote, a.remote) || !contend(children, a, c) {
				continue
			}
			reported[pair] = true
			if !standBy(children, pair) {
				reportOverlap(children, a, c)
			}
		}
		around = append(around, c)
	}
}

func (l *loader) claims() ([]claimant, []claim) {
	var children []claimant
	var claims []claim
	add := func(peer, index, priority int, local, remote []selector.Selector) {
		raw := l.peers[peer]
		if index < 0 || index >= len(raw.children) {
			return
		}
		for _, sel := range remote {
			claims = append(claims, claim{len(children), sel})
		}
		bypass := l.config.Peers[peer].Routing[index].Bypass
		children = append(children, claimant{raw.children[index], local, remote, bypass, peer, priority})
	}
	for i := range l.config.Peers {
		p := &l.config.Peers[i]
		for _, c := range p.Children {
			add(i, slices.Index(p.Order, c.Name), p.Priority, c.Local, c.Remote)
		}
		for _, m := range p.Manual {
			if m.SPIOut != 0 { // one that only receives claims no packet
				add(i, slices.Index(p.Order, m.Name), 0, m.Local, m.Remote)
			}
		}
	}
	return children, claims
}

// strictlyWithin reports whether inner is a proper part of outer, and the networks that make up the
// two ranges have none in common.
func strictlyWithin(inner, outer selector.Selector) bool {
	if !outer.Contains(inner.Start) || !outer.Contains(inner.End) || inner.Start == outer.Start && inner.End == outer.End {
		return false
	}
	around := outer.Prefixes()
	return !slices.ContainsFunc(inner.Prefixes(), func(p netip.Prefix) bool { return slices.Contains(around, p) })
}

// contend reports whether a packet can match both claims.
func contend(children []claimant, a, b claim) bool {
	if !a.remote.Overlaps(b.remote) {
		return false
	}
	for _, la := range children[a.child].local {
		if slices.ContainsFunc(children[b.child].local, la.Overlaps) {
			return true
		}
	}
	return false
}

// sameSelectors reports whether two lists hold the same selectors, in any order. Neither holds one
// twice.
func sameSelectors(a, b []selector.Selector) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s selector.Selector) bool { return !slices.Contains(b, s) })
}

// sameNetworks reports whether two children have the same networks.
func sameNetworks(a, b *claimant) bool {
	return sameSelectors(a.local, b.local) && sameSelectors(a.remote, b.remote)
}

// standBy reports whether one of two children stands by for the other. What is bypassed must be the
// same then, since it is in force whichever is active.
func standBy(children []claimant, pair [2]int) bool {
	first, second := &children[pair[0]], &children[pair[1]]
	if !sameNetworks(first, second) || first.priority == 0 || second.priority == 0 || first.priority == second.priority {
		return false
	}
	sorted := func(list []netip.Prefix) []netip.Prefix {
		return slices.SortedFunc(slices.Values(list), netip.Prefix.Compare)
	}
	if !slices.Equal(sorted(first.bypass), sorted(second.bypass)) {
		second.fail("bypass", "bypass differs from that of the child at %s, which has the same networks; give both the same, as it holds whichever of the two is active", first.place("remote"))
	}
	return true
}

// reportOverlap reports an overlap at the child that was read later.
func reportOverlap(children []claimant, a, b claim) {
	if a.child > b.child {
		a, b = b, a
	}
	first, second := &children[a.child], &children[b.child]
	remedy := ""
	switch {
	case first.peer == second.peer:
	case sameNetworks(first, second):
		remedy = ", or give their peers different priorities (priority = 1 in one, priority = 2 in the other), so that one stands by for the other"
	case first.priority > 0 && second.priority > 0:
		remedy = ", or give both exactly the same networks, so that one stands by for the other"
	}
	second.fail("remote", "remote %s overlaps %s of the child at %s, and their local networks overlap as well, so both children claim the same packets; make them disjoint, or make one a smaller network inside the other (the longest prefix decides)%s",
		b.remote, a.remote, first.place("remote"), remedy)
}
