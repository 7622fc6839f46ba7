package dataplane

import (
	"net/netip"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// A pair in transport mode protects what the packets between two hosts carry (RFC 4303, Section
// 3.1.1). Outbound the packet is sealed without its IP header, and the socket makes another with
// the same addresses; inbound it is made of the addresses of the SA, and the selectors are checked
// as ever. A pair in tunnel mode meets one comparison for each packet.
//
//	out:  carry -> carryTransport -> addToBatch ...    a fragment becomes a whole packet first
//	in:   deliver -> rebuild -> the checks of deliver -> coalescer

// hosts are the two ends of a pair in transport mode.
type hosts struct {
	local, remote netip.Addr
	pair          *esp.HostPair
}

// hostsOf returns the hosts of a pair, or nil in tunnel mode.
func hostsOf(h *ipsec.Hosts) *hosts {
	if !h.Transport() {
		return nil
	}
	return &hosts{h.Local, h.Remote, esp.NewHostPair(h.Local, h.Remote, h.SeenLocal, h.SeenRemote)}
}

// far reports whether packets of a path are from another host. In UDP the peer may come from
// anywhere, as a NAT may give it another address.
func (h *hosts) far(from *ipsec.Path) bool {
	return !from.Encapsulated() && from.Remote().Addr() != h.remote
}

// largestSealed is the most octets of ESP that an IPv4 packet carries in UDP.
const largestSealed = maxDatagram - 28

// carryTransport is carry for a pair in transport mode. A packet that is too large, and may be
// fragmented, is sealed whole, and the outer IP fragments it (RFC 4303, Section 3.3.4).
func (t *tx) carryTransport(x *txPacket) bool {
	hdr, pkt, h := &x.hdr, x.pkt, x.sa.sa.hosts
	if hdr.Src != h.local || hdr.Dst != h.remote { // an ICMP error of another router
		t.tally.add(dropNoPolicy, 1)
		return true
	}
	if hdr.Fragment != selector.NotFragment {
		t.gatherFragment(x)
		return true
	}
	begin, next, ok := esp.TransportPayload(pkt.Data)
	if !ok {
		t.drop(x.sa, dropHeader)
		return true
	}
	mtu, fragment := x.sa.mtuFor(hdr.Version)
	x.wrap = wrap{tos: esp.OuterTOS(hdr.TOS), next: next, skip: uint8(begin), fragment: fragment}
	if pkt.GSO != gso.None {
		return t.carrySuper(x, mtu)
	}
	clampMSS(pkt.Data, hdr, mtu, !pkt.NeedsChecksum)
	gso.CompleteChecksum(pkt)
	switch {
	case len(pkt.Data) <= mtu:
		return t.addToBatch(x)
	case hdr.DF:
		t.tooBig(x, mtu)
		return true
	}
	t.sealBatch() // the order of a flow is kept
	return t.sealWhole(x, pkt.Data, mtu)
}

// sealWhole seals and enqueues a packet, which is x or a segment of it. The outer IP fragments it
// if it is larger than mtu. It reports false if the SA is at its end: then nothing was sent.
func (t *tx) sealWhole(x *txPacket, pkt []byte, mtu int) bool {
	if x.sa.out.SealedLen(len(pkt)-int(x.skip)) > largestSealed {
		t.drop(x.sa, dropTooBig)
		return true
	}
	before := x.fragment
	x.fragment = before || len(pkt) > mtu
	ok := t.sealOne(x, pkt)
	x.fragment = before
	return ok
}

// gatherFragment takes a fragment of a packet that is to be sealed whole, and sends the packet with
// its last one.
func (t *tx) gatherFragment(x *txPacket) {
	whole, lost := t.plane.partials.add(x.pkt.Data, &x.hdr, t.nowNano)
	t.tally.add(dropFragmentOut, lost)
	if whole == nil {
		return
	}
	y := txPacket{pkt: &gso.Packet{Data: whole}, since: x.since}
	if selector.ParsePacket(whole, &y.hdr) != nil {
		t.tally.add(dropBadPacket, 1)
		return
	}
	y.hdr.DF = false // its sender has fragmented it
	s, ok := t.plane.policyFor(&y.hdr.Flow)
	if !ok {
		t.uncovered(&y)
		return
	}
	t.dispatch(&y, s, &y.hdr.Flow)
}

// rebuilt is the memory for the packets that a receive brought in transport mode. They stay until
// they are written.
type rebuilt struct {
	buf  []byte
	used int
}

// rebuiltSpace is what a receive brings as a rule.
const rebuiltSpace = 2 * maxDatagram

// space returns n octets. The packets before stay where they are.
func (b *rebuilt) space(n int) []byte {
	if len(b.buf)-b.used < n {
		b.buf, b.used = make([]byte, max(rebuiltSpace, n)), 0
	}
	s := b.buf[b.used : b.used+n : b.used+n]
	b.used += n
	return s
}

// rebuild makes an IP packet of an opened payload, and reports whether it is one. If not, it is
// counted.
func (r *rx) rebuild(x *rxPacket) bool {
	c := x.sa
	p := c.sa.hosts.pair
	n, ok := p.Len(len(x.esp.Data))
	switch {
	case x.far:
		r.drop(c, dropSelector)
		return false
	case !ok:
		r.drop(c, dropBadInner)
		return false
	}
	pkt := r.rebuilt.space(n)
	if !p.Rebuild(pkt, x.esp.Data, x.esp.Next, x.tos) {
		r.drop(c, dropBadInner)
		return false
	}
	x.esp.Data, x.esp.Next = pkt, nextHeader(pkt[0]>>4)
	return true
}
