package budget

import "net/netip"

// Newcomers counts the IKE SAs that peers began and that are not authenticated: half-open ones,
// refused ones that still answer copies of the last request, and those whose key exchange failed.
// Each is charged to the address that began it and to the network around that address, so that
// strangers can fill neither the memory nor the places of others.
type Newcomers struct {
	count     int
	octets    int                  // of fragments that wait for the rest of their message
	computing int                  // computations under way
	from      map[netip.Prefix]int // of hosts and of networks
	recent    recentAddrs          // of established IKE SAs
}

// A Place is what one half-open IKE SA is charged for. The zero Place is not charged.
type Place struct {
	from netip.Addr
	held int // octets of fragments
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

// SameHost and SameNetwork report whether two addresses count as one host, or one network.
func SameHost(a, b netip.Addr) bool    { return hostOf(a) == hostOf(b) }
func SameNetwork(a, b netip.Addr) bool { return networkOf(a) == networkOf(b) }

// Admits reports whether the limits allow another half-open IKE SA from an address. limit is that
// for all; configured reports that a peer of the configuration has the address.
func (c *Newcomers) Admits(from netip.Addr, configured bool, limit int) bool {
	if configured || c.recent.has(from) {
		return c.count < limit && c.from[hostOf(from)] < max(limit/knownShare, 1)
	}
	return c.count < limit-limit/reserveShare &&
		c.from[hostOf(from)] < max(limit/hostShare, 1) &&
		c.from[networkOf(from)] < max(limit/networkShare, 1)
}

// Add charges an address for an IKE SA.
func (c *Newcomers) Add(from netip.Addr) Place {
	if c.from == nil {
		c.from = map[netip.Prefix]int{}
	}
	c.from[hostOf(from)]++
	c.from[networkOf(from)]++
	c.count++
	return Place{from: from}
}

// Remove ends the charge for an IKE SA: it is authenticated, or gone. A second call does nothing.
func (c *Newcomers) Remove(p *Place) {
	if !p.from.IsValid() {
		return
	}
	for _, prefix := range []netip.Prefix{hostOf(p.from), networkOf(p.from)} {
		if c.from[prefix]--; c.from[prefix] == 0 {
			delete(c.from, prefix)
		}
	}
	c.count--
	c.octets -= p.held
	*p = Place{}
}

// Authenticated remembers the address of an IKE SA that was established.
func (c *Newcomers) Authenticated(from netip.Addr) { c.recent.add(from) }

// Knows reports whether an IKE SA was lately established from an address.
func (c *Newcomers) Knows(from netip.Addr) bool { return c.recent.has(from) }

// Count returns the number of half-open IKE SAs.
func (c *Newcomers) Count() int { return c.count }

// Octets returns the octets of fragments that half-open IKE SAs hold.
func (c *Newcomers) Octets() int { return c.octets }

// MaxMessage bounds a message in fragments before authentication, in octets.
const MaxMessage = 16 << 10

// Bounds of the octets of incomplete messages before authentication.
const (
	maxStrangersHeld = 8 << 20  // of all strangers
	maxHeld          = 12 << 20 // with those of known addresses
)

// Hold charges an IKE SA for the octets of fragments that it now holds. It reports false if the
// strangers, or all, hold too many: then the IKE SA must drop them, and the peer sends them again.
func (c *Newcomers) Hold(p *Place, octets int, configured bool) bool {
	c.octets += octets - p.held
	p.held = octets
	limit := maxStrangersHeld
	if configured || c.recent.has(p.from) {
		limit = maxHeld
	}
	if c.octets <= limit {
		return true
	}
	c.octets -= p.held
	p.held = 0
	return false
}

// From returns the address that is charged, or the zero Addr.
func (p *Place) From() netip.Addr { return p.from }

// maxBacklog is the number of newcomers' computations under way from which on a cookie is demanded.
const maxBacklog = 2

// Computing notes that a computation for a newcomer begins (n = 1) or has ended (n = -1).
func (c *Newcomers) Computing(n int) { c.computing += n }

// Busy reports whether newcomers wait: threshold of their IKE SAs are half-open, or several of
// their computations are under way.
func (c *Newcomers) Busy(threshold int) bool {
	return c.count >= threshold || c.computing >= maxBacklog
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
