package netio

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	etherLen = 14
	ip4Len   = 20
	ip6Len   = 40
	headLen  = etherLen + ip6Len // the longest headers in front of ESP

	// visitEvery is the time after which a datagram of a path goes through the IP stack again: that
	// keeps the neighbour confirmed (RFC 4861, Section 7.3.1), which nothing else does for it.
	visitEvery = time.Second
)

// A hopKey is what the kernel finds a route by: with the same key all packets of protocol 50 take
// the same one.
type hopKey struct {
	local, remote netip.Addr
	dscp          uint8 // the TOS or traffic class octet without the ECN field
}

// keyOf returns the key of a path, and false if its packets are only for the IP stack: the system
// chooses the source, or the link.
func keyOf(local, remote netip.Addr, tos uint8) (k hopKey, ok bool) {
	const ecn = 3
	ok = local.Is4() == remote.Is4() && local.IsGlobalUnicast() && remote.IsGlobalUnicast() && remote.Zone() == ""
	return hopKey{local.WithZone(""), remote, tos &^ ecn}, ok
}

// A hop is the first hop of a path: the device, and the headers that the IP stack would put in
// front of ESP. It never changes.
type hop struct {
	name unix.RawSockaddrLinklayer
	head [headLen]byte // without what differs from packet to packet
	n    int           // octets of head in use
	mtu  int           // of the device
	sum  uint32        // of the words of head's IPv4 header
}

// A first is what a hop is made of.
type first struct {
	link     int
	from, to [6]byte // Ethernet addresses of the device and of the neighbour
	mtu      int
	hops     uint8 // TTL or hop limit
}

// newHop returns the hop of packets from k.local to k.remote.
func newHop(k hopKey, f first) *hop {
	h := &hop{mtu: f.mtu, n: headLen}
	proto := uint16(unix.ETH_P_IPV6)
	if k.remote.Is4() {
		proto, h.n = unix.ETH_P_IP, etherLen+ip4Len
	}
	h.name = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: networkOrder(proto), Ifindex: int32(f.link), Halen: 6}
	copy(h.name.Addr[:], f.to[:])
	copy(h.head[:], f.to[:])
	copy(h.head[6:], f.from[:])
	binary.BigEndian.PutUint16(h.head[12:], proto)
	ip := h.head[etherLen:h.n]
	if !k.remote.Is4() {
		ip[0], ip[6], ip[7] = 6<<4, unix.IPPROTO_ESP, f.hops
		copy(ip[8:], k.local.AsSlice())
		copy(ip[24:], k.remote.AsSlice())
		return h
	}
	const dontFragment = 0x40
	ip[0], ip[6], ip[8], ip[9] = 4<<4|ip4Len/4, dontFragment, f.hops, unix.IPPROTO_ESP
	copy(ip[12:], k.local.AsSlice())
	copy(ip[16:], k.remote.AsSlice())
	for i := 0; i < ip4Len; i += 2 {
		h.sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	return h
}

// fits reports whether a datagram leaves in one packet.
func (h *hop) fits(size int) bool { return h.n-etherLen+size <= h.mtu }

// put writes the headers of a datagram of size octets to b and returns them.
func (h *hop) put(b *[headLen]byte, tos uint8, size int) []byte {
	*b = h.head
	ip := b[etherLen:h.n]
	if len(ip) == ip6Len {
		ip[0] |= tos >> 4
		ip[1] = tos << 4
		binary.BigEndian.PutUint16(ip[4:], uint16(size))
		return b[:h.n]
	}
	total := uint16(ip4Len + size)
	ip[1] = tos
	binary.BigEndian.PutUint16(ip[2:], total)
	sum := h.sum + uint32(tos) + uint32(total)
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return b[:h.n]
}

// An entry is what is known of a key. A worker reads hop and due; the rest belongs to hopCache.mu.
type entry struct {
	key hopKey
	hop atomic.Pointer[hop] // nil: its packets are for the IP stack
	due atomic.Int64        // when one goes there anyway: nanoseconds since the start of the cache

	stale bool       // the kernel must be asked
	fixed bool       // it has no hop, and only a notice can tell of one
	why   error      // it has no hop
	link  int        // the device of the route, as far as there is one
	via   netip.Addr // the neighbour
	to    [6]byte    // its Ethernet address, with a hop
}

// visits reports whether it is time for a datagram through the IP stack. It is true for one caller
// in visitEvery.
func (e *entry) visits(now int64) bool {
	due := e.due.Load()
	return now >= due && e.due.CompareAndSwap(due, now+int64(visitEvery))
}

// drop sends the next packets through the IP stack until the kernel was asked.
func (e *entry) drop() {
	e.hop.Store(nil)
	e.stale = true
}
