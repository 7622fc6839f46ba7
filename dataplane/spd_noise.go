package dataplane

import (
	"net/netip"
	"slices"

	"culvert/selector"
)

// Noise is what hosts say to their own link: multicast, broadcast, and what is from or for a
// link-local IPv6 address or none. A selector of a whole network, such as 0.0.0.0/0, has these
// addresses in it as well, but nobody who wrote it meant them, and no tunnel is to come up for
// them. So noise is carried only where selectors name it, which those do that hold nothing else,
// such as
// 224.0.0.0/4; in both directions by the same rule, so that neither end takes what the other gives
// and drops it. Link-local IPv4 addresses are not noise: some gateways number tunnels with them.

// isNoise reports whether a packet is noise.
func isNoise(hdr *selector.Packet) bool {
	return !isUnicast(hdr.Dst) || !isUnicast(hdr.Src) || hdr.Version == 6 && (hdr.Dst.IsLinkLocalUnicast() || hdr.Src.IsLinkLocalUnicast())
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isUnicast(a netip.Addr) bool { return !a.IsMulticast() && !a.IsUnspecified() && a != broadcast4 }

// noisyAddr reports whether a packet from or for the address is noise.
func noisyAddr(a netip.Addr) bool { return !isUnicast(a) || a.Is6() && a.IsLinkLocalUnicast() }

// named reports whether one of the selectors holds the address, and nothing but noise.
func named(list []selector.Selector, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool { return namesNoise(s) && s.Contains(a) })
}

func namesNoise(s selector.Selector) bool {
	return noisyAddr(s.Start) && noisyAddr(s.End) && !s.Start.IsUnspecified()
}

// carriesNoise reports whether selectors that match a packet, those of its source and those of its
// destination, name it as far as it is noise. No answer ever finds its way to a source that is not
// unicast.
func carriesNoise(hdr *selector.Packet, from, to []selector.Selector) bool {
	return isUnicast(hdr.Src) && (!noisyAddr(hdr.Src) || named(from, hdr.Src)) && (!noisyAddr(hdr.Dst) || named(to, hdr.Dst))
}

var noiseRanges = []selector.Selector{
	selector.FromAddr(netip.IPv4Unspecified()), selector.FromPrefix(netip.MustParsePrefix("224.0.0.0/4")), selector.FromAddr(broadcast4),
	selector.FromAddr(netip.IPv6Unspecified()), selector.FromPrefix(netip.MustParsePrefix("fe80::/10")), selector.FromPrefix(netip.MustParsePrefix("ff00::/8")),
}

// namers are the selectors of a policy of which some name noise.
type namers struct{ local, remote []selector.Selector }

// newNamers returns nil where none does.
func newNamers(local, remote []selector.Selector) *namers {
	if !slices.ContainsFunc(local, namesNoise) && !slices.ContainsFunc(remote, namesNoise) {
		return nil
	}
	return &namers{local, remote}
}

// mayBeNoise reports whether selectors match noise at all, which those of most SAs do not.
func mayBeNoise(list []selector.Selector) bool {
	return slices.ContainsFunc(list, func(s selector.Selector) bool {
		return slices.ContainsFunc(noiseRanges, s.Overlaps)
	})
}

// outboundNoise takes a packet that is noise: one that its policy's selectors name is sent as any
// other, and so is, with another source, the error of a router that has no IPv6 address but
// link-local ones (carryError).
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
