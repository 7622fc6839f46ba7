package dataplane

import (
	"net/netip"
	"slices"

	"culvert/selector"
)

// Noise is the traffic of hosts with their own link: multicast, broadcast, and packets from or to a
// link-local or an unspecified IPv6 address. A selector of a whole network, such as 0.0.0.0/0,
// includes these addresses, but its author did not mean them, and they must not bring up a tunnel.
// So noise is carried only if a selector names it, that is, holds nothing else, such as
// 224.0.0.0/4. The rule is the same in both directions, so that neither end sends what the other
// drops. Link-local IPv4 addresses are not noise: some gateways number tunnels with them.

// isNoise reports whether a packet is noise.
func isNoise(hdr *selector.Packet) bool {
	return !isUnicast(hdr.Dst) || !isUnicast(hdr.Src) || hdr.Version == 6 && (hdr.Dst.IsLinkLocalUnicast() || hdr.Src.IsLinkLocalUnicast())
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isUnicast(a netip.Addr) bool { return !a.IsMulticast() && !a.IsUnspecified() && a != broadcast4 }

// noisyAddr reports whether a packet from or to the address is noise.
func noisyAddr(a netip.Addr) bool { return !isUnicast(a) || a.Is6() && a.IsLinkLocalUnicast() }

// named reports whether one of the selectors contains the address and nothing but noise.
func named(list []selector.Selector, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool { return namesNoise(s) && s.Contains(a) })
}

func namesNoise(s selector.Selector) bool {
	return noisyAddr(s.Start) && noisyAddr(s.End) && !s.Start.IsUnspecified()
}

// carriesNoise reports whether selectors that match a packet, from for its source and to for its
// destination, name each noisy address of it. A source that is not unicast is never carried, since
// no answer could reach it.
func carriesNoise(hdr *selector.Packet, from, to []selector.Selector) bool {
	return isUnicast(hdr.Src) && (!noisyAddr(hdr.Src) || named(from, hdr.Src)) && (!noisyAddr(hdr.Dst) || named(to, hdr.Dst))
}

var noiseRanges = []selector.Selector{
	selector.FromAddr(netip.IPv4Unspecified()), selector.FromPrefix(netip.MustParsePrefix("224.0.0.0/4")), selector.FromAddr(broadcast4),
	selector.FromAddr(netip.IPv6Unspecified()), selector.FromPrefix(netip.MustParsePrefix("fe80::/10")), selector.FromPrefix(netip.MustParsePrefix("ff00::/8")),
}

// A namers holds the selectors of a policy of which some name noise.
type namers struct{ local, remote []selector.Selector }

// newNamers returns nil if none of the selectors names noise.
func newNamers(local, remote []selector.Selector) *namers {
	if !slices.ContainsFunc(local, namesNoise) && !slices.ContainsFunc(remote, namesNoise) {
		return nil
	}
	return &namers{local, remote}
}

// mayBeNoise reports whether selectors match any noise; those of most SAs do not.
func mayBeNoise(list []selector.Selector) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool {
		return slices.ContainsFunc(noiseRanges, s.Overlaps)
	})
}

// outboundNoise handles a packet that is noise. One that its policy's selectors name is sent as any
// other. So is the error of a router that has only link-local IPv6 addresses, with another source
// (carryError).
func (t *tx) outboundNoise(x *txPacket) {
	hdr := &x.hdr
	if s, ok := t.plane.policyFor(&hdr.Flow); ok {
		if n := s.noise.Load(); n != nil && carriesNoise(hdr, n.local, n.remote) {
			t.dispatch(x, s, &hdr.Flow)
			return
		}
	}
	if hdr.ICMPError() && hdr.Src.IsLinkLocalUnicast() && !noisyAddr(hdr.Dst) {
		t.carryError(x)
		return
	}
	t.tally.add(dropNoise, 1)
}
