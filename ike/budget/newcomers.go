package budget

import (
	"encoding/binary"
	"net/netip"
)

// Newcomers counts the IKE SAs that peers began and that are not authenticated, and their octets:
// half-open ones, refused ones that still answer copies of the last request, and those whose key
// exchange failed. Each is charged to the address that began it and to the network around that
// address, so that strangers can fill neither the memory nor the places of others.
type Newcomers struct {
	all       tally
	networks  map[uint64]netTally // by networkKey
	hosts     map[uint64]tally    // by hostKey: of networks with several
	computing int                 // computations under way
	dear      dearComputations    // of these
	recent    recentAddrs         // of established IKE SAs
}

// tally is what half-open IKE SAs are charged: their number, and the octets of all of them.
type tally struct{ count, octets int32 }

// A netTally is the tally of a network. In the usual case that it is of one host, so that this one
// needs none of its own, it has the host. It is as small as a tally.
type netTally struct {
	sum         uint32 // twice the octets, and 1 if there were several hosts since it was empty
	count, host uint16
}

// maxCount bounds the number of all half-open IKE SAs, whatever limit is given.
const maxCount = 1<<16 - 1

func (n netTally) several() bool { return n.sum&1 == 1 }
func (n netTally) tally() tally  { return tally{int32(n.count), int32(n.sum >> 1)} }

func (n *netTally) add(by tally) {
	n.count += uint16(by.count)
	n.sum += uint32(by.octets) << 1
}

// A dearComputations counts the computations with dear groups, all of them and by hostKey and
// networkKey. There are few.
type dearComputations struct {
	all             int
	hosts, networks map[uint64]int
}

// A Place is the charge for one half-open IKE SA, in octets. The zero Place is not charged.
type Place int32

// A cookie proves that an address is genuine, not that its user is honest, and others must still
// get through (RFC 8019, Section 4.2). These are the inverses of the parts of all half-open IKE SAs
// and of their octets that one host, one network, and the strangers' reserve may have.
const (
	hostShare    = 64
	knownShare   = 16 // one host that is configured, or lately had an IKE SA
	networkShare = 16
	reserveShare = 8 // kept free of strangers
)

// hostKey returns what counts as one host, as a number: an IPv4 address, or the /64 of an IPv6
// address. The numbers of IPv4 addresses are those of a part of IPv6 that is not routed.
func hostKey(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<40 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:])
}

// networkKey returns what counts as one network, as hostKey does for hosts: the /24 of an IPv4
// address, or the /48 of an IPv6 address.
func networkKey(a netip.Addr) uint64 {
	if a.Is4() {
		return hostKey(a) &^ 0xff
	}
	return hostKey(a) &^ 0xffff
}

// hostPart returns what hostKey has beside networkKey.
func hostPart(a netip.Addr) uint16 { return uint16(hostKey(a) ^ networkKey(a)) }

// SameHost and SameNetwork report whether two addresses count as one host, or one network.
func SameHost(a, b netip.Addr) bool    { return hostKey(a) == hostKey(b) }
func SameNetwork(a, b netip.Addr) bool { return networkKey(a) == networkKey(b) }

// Bounds of the octets of half-open IKE SAs: what they are made of, and messages in fragments that
// are not complete.
const (
	maxStrangersOctets = 8 << 20  // of all strangers
	maxOctets          = 12 << 20 // with those of known addresses
)

// MaxMessage bounds a message in fragments before authentication, in octets.
const MaxMessage = 16 << 10

// Admits reports whether the limits allow another half-open IKE SA of some octets from an address.
// limit is that for the number of all; configured reports that a peer of the configuration has the
// address.
func (c *Newcomers) Admits(from netip.Addr, octets int, configured bool, limit int) bool {
	host, network := c.host(from).count, c.networks[networkKey(from)].count
	limit = min(limit, maxCount)
	if configured || c.recent.has(from) {
		return int(c.all.count) < limit && int(host) < max(limit/knownShare, 1) && c.affords(from, octets, configured)
	}
	return int(c.all.count) < limit-limit/reserveShare &&
		int(host) < max(limit/hostShare, 1) &&
		int(network) < max(limit/networkShare, 1) && c.affords(from, octets, configured)
}

// affords reports whether the limits allow more octets of an address.
func (c *Newcomers) affords(from netip.Addr, octets int, configured bool) bool {
	all, host := int(c.all.octets)+octets, int(c.host(from).octets)+octets
	if configured || c.recent.has(from) {
		return all <= maxOctets && host <= maxOctets/knownShare
	}
	network := int(c.networks[networkKey(from)].tally().octets) + octets
	return all <= maxStrangersOctets && host <= maxStrangersOctets/hostShare && network <= maxStrangersOctets/networkShare
}

// Add charges an address for an IKE SA of some octets, at least one.
func (c *Newcomers) Add(from netip.Addr, octets int) Place {
	c.change(from, tally{count: 1, octets: int32(octets)})
	return Place(octets)
}

// Remove ends the charge for an IKE SA that an address began: it is authenticated, or gone. A
// second call does nothing.
func (c *Newcomers) Remove(from netip.Addr, p *Place) {
	if *p == 0 {
		return
	}
	c.change(from, tally{count: -1, octets: -int32(*p)})
	*p = 0
}

// Hold changes the octets that an IKE SA is charged for. It reports false, and changes nothing, if
// they are more than before and the limits do not allow it.
func (c *Newcomers) Hold(from netip.Addr, p *Place, octets int, configured bool) bool {
	more := octets - int(*p)
	if *p == 0 || more > 0 && !c.affords(from, more, configured) {
		return false
	}
	c.change(from, tally{octets: int32(more)})
	*p = Place(octets)
	return true
}

// host returns what the host of an address is charged.
func (c *Newcomers) host(a netip.Addr) tally {
	n := c.networks[networkKey(a)]
	switch {
	case n.several():
		return c.hosts[hostKey(a)]
	case n.host == hostPart(a):
		return n.tally()
	}
	return tally{}
}

// Charged reports whether the host of an address is charged for half-open IKE SAs.
func (c *Newcomers) Charged(a netip.Addr) bool { return c.host(a).count > 0 }

// change adds to what an address and its network are charged.
func (c *Newcomers) change(from netip.Addr, by tally) {
	if c.hosts == nil {
		c.hosts, c.networks = map[uint64]tally{}, map[uint64]netTally{}
	}
	c.all.add(by)
	key := networkKey(from)
	n := c.networks[key]
	switch {
	case n.count == 0:
		n = netTally{host: hostPart(from)}
	case !n.several() && n.host != hostPart(from):
		c.hosts[key|uint64(n.host)] = n.tally()
		n.sum |= 1
	}
	if n.several() {
		h := c.hosts[hostKey(from)]
		if h.add(by); h.count == 0 {
			delete(c.hosts, hostKey(from))
		} else {
			c.hosts[hostKey(from)] = h
		}
	}
	if n.add(by); n.count == 0 {
		delete(c.networks, key)
	} else {
		c.networks[key] = n
	}
}

func (t *tally) add(by tally) {
	t.count += by.count
	t.octets += by.octets
}

// Authenticated remembers the address of an IKE SA that was established.
func (c *Newcomers) Authenticated(from netip.Addr) { c.recent.add(from) }

// Knows reports whether an IKE SA was lately established from an address.
func (c *Newcomers) Knows(from netip.Addr) bool { return c.recent.has(from) }

// Count returns the number of half-open IKE SAs.
func (c *Newcomers) Count() int { return int(c.all.count) }

// Octets returns the octets that half-open IKE SAs are charged for.
func (c *Newcomers) Octets() int { return int(c.all.octets) }

// maxBacklog is the number of newcomers' computations under way from which on a cookie is demanded.
const maxBacklog = 2

// Bounds of the newcomers' computations with dear groups that are under way. All of newcomers'
// computations have one thread, of low priority: whatever strangers send, others wait for a few at
// most. Of these no network has all, and none is kept from known hosts.
const (
	maxDear       = 8 // from which on strangers cause no more
	maxDearOfNet  = 2 // of these for one network
	maxDearOfHost = 4 // of a host that is configured, or lately had an IKE SA, beside any others
)

// Computing notes that a computation for a newcomer begins (n = 1) or has ended (n = -1), and
// whether its group is dear, which is charged to the address that began the IKE SA.
func (c *Newcomers) Computing(from netip.Addr, n int, dear bool) {
	if c.computing += n; !dear {
		return
	}
	d := &c.dear
	if d.hosts == nil {
		d.hosts, d.networks = map[uint64]int{}, map[uint64]int{}
	}
	d.all += n
	count := func(table map[uint64]int, key uint64) {
		if table[key] += n; table[key] == 0 {
			delete(table, key)
		}
	}
	count(d.hosts, hostKey(from))
	count(d.networks, networkKey(from))
}

// AdmitsDear reports whether the limits allow a computation with a dear group for an address.
// configured is as for Admits.
func (c *Newcomers) AdmitsDear(from netip.Addr, configured bool) bool {
	if configured || c.recent.has(from) {
		return c.dear.hosts[hostKey(from)] < maxDearOfHost
	}
	return c.dear.all < maxDear && c.dear.networks[networkKey(from)] < maxDearOfNet
}

// Busy reports whether newcomers wait: threshold of their IKE SAs are half-open, or several of
// their computations are under way.
func (c *Newcomers) Busy(threshold int) bool {
	return c.Count() >= threshold || c.computing >= maxBacklog
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
