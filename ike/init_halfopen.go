package ike

import (
	"net/netip"

	"culvert/ike/window"
)

// A halfOpenTable counts the IKE SAs that peers began and that are not authenticated: half-open
// ones, refused ones that still answer copies of the last request, and those whose key exchange
// failed. Each is charged to the address that began it and to the network around that address, so
// that strangers can fill neither the memory nor the places of others.
type halfOpenTable struct {
	count  int
	octets int                  // of fragments that wait for the rest of their message
	from   map[netip.Prefix]int // of hosts and of networks
	recent recentAddrs          // of established IKE SAs
}

// A cookie proves that an address is genuine, not that its user is honest, and others must still
// get through (RFC 8019, Section 4.2). These are the inverses of the parts of all half-open IKE SAs
// that one host, one network, and the strangers' reserve may have.
const (
	hostShare    = 64
	knownShare   = 16 // one host that is configured, or lately had an IKE SA
	networkShare = 16
	reserveShare = 8 // kept free of strangers
)

// hostOf returns what counts as one host: an IPv4 address, or the /64 of an IPv6 address.
func hostOf(a netip.Addr) netip.Prefix { return prefixOf(a, 32, 64) }

// networkOf returns what counts as one network: the /24 of an IPv4 address, or the /48 of an IPv6
// address.
func networkOf(a netip.Addr) netip.Prefix { return prefixOf(a, 24, 48) }

func prefixOf(a netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, _ := a.Prefix(bits)
	return p
}

// admits reports whether the limits allow another half-open IKE SA from an address. configured
// reports that a peer of the configuration has the address.
func (c *halfOpenTable) admits(from netip.Addr, configured bool, limit int) bool {
	if configured || c.recent.has(from) {
		return c.count < limit && c.from[hostOf(from)] < max(limit/knownShare, 1)
	}
	return c.count < limit-limit/reserveShare &&
		c.from[hostOf(from)] < max(limit/hostShare, 1) &&
		c.from[networkOf(from)] < max(limit/networkShare, 1)
}

// add counts an IKE SA of an address.
func (c *halfOpenTable) add(s *ikeSA, from netip.Addr) {
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	s.source = from
	c.from[hostOf(from)]++
	c.from[networkOf(from)]++
	c.count++
}

// remove takes an IKE SA out of the count: it is authenticated, or gone.
func (c *halfOpenTable) remove(s *ikeSA) {
	if !s.source.IsValid() {
		return
	}
	for _, p := range []netip.Prefix{hostOf(s.source), networkOf(s.source)} {
		if c.from[p]--; c.from[p] == 0 {
			delete(c.from, p)
		}
	}
	c.count--
	c.octets -= s.held
	s.source, s.held = netip.Addr{}, 0
}

// Bounds of what is kept of messages in fragments before authentication, in octets.
const (
	maxStrangersMessage = 16 << 10 // one message
	maxStrangersHeld    = 8 << 20  // incomplete messages of all strangers
	maxUnprovenHeld     = 12 << 20 // with those of known addresses
)

// chargeFragments charges a half-open IKE SA for the fragments that it holds. If the strangers, or
// all, hold too many, it drops those of the IKE SA and returns false; the peer sends them again.
func (e *Engine) chargeFragments(s *ikeSA, r *window.Reassembly) bool {
	c := &e.sas.halfOpen
	c.octets += r.Held() - s.held
	s.held = r.Held()
	limit := maxStrangersHeld
	if e.peers.configured(s.source) || c.recent.has(s.source) {
		limit = maxUnprovenHeld
	}
	if c.octets <= limit {
		return true
	}
	r.Reset()
	c.octets -= s.held
	s.held = 0
	return false
}

// maxRecent bounds the remembered addresses.
const maxRecent = 4096

// recentAddrs are the addresses from which peers authenticated last, up to maxRecent of them.
type recentAddrs struct {
	set  map[netip.Addr]struct{}
	ring []netip.Addr
	next int
}

func (r *recentAddrs) has(a netip.Addr) bool {
	_, ok := r.set[a]
	return ok
}

// add remembers an address, in place of the one that was added first.
func (r *recentAddrs) add(a netip.Addr) {
	if r.has(a) {
		return
	}
	if r.set == nil {
		r.set = map[netip.Addr]struct{}{}
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, a)
	} else {
		delete(r.set, r.ring[r.next])
		r.ring[r.next] = a
		r.next = (r.next + 1) % maxRecent
	}
	r.set[a] = struct{}{}
}
