package selector

import (
	"net/netip"
	"slices"
)

// Noise is the traffic of hosts with their own link: multicast, broadcast, and packets from or to a
// link-local or an unspecified IPv6 address. A selector of a whole network, such as 0.0.0.0/0,
// includes these addresses, but its author did not mean them, and they must not bring up a tunnel.
// So noise is carried only if a selector names it, that is, holds nothing else, such as
// 224.0.0.0/4. The rule is the same in both directions, so that neither end sends what the other
// drops. Link-local IPv4 addresses are not noise: some gateways number tunnels with them.

// IsNoise reports whether the packet is noise.
func (p *Packet) IsNoise() bool {
	return !IsUnicast(p.Dst) || !IsUnicast(p.Src) || p.Version == 6 && (p.Dst.IsLinkLocalUnicast() || p.Src.IsLinkLocalUnicast())
}

// NoiseIsNamed reports whether selectors that match the packet, from for its source and to for its
// destination, name each noisy address of it. A source that is not unicast is never named, since no
// answer could reach it.
func (p *Packet) NoiseIsNamed(from, to []Selector) bool {
	return IsUnicast(p.Src) && (!NoisyAddr(p.Src) || named(from, p.Src)) && (!NoisyAddr(p.Dst) || named(to, p.Dst))
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// IsUnicast reports whether the address is that of one host: not multicast, not the broadcast
// address, not unspecified.
func IsUnicast(a netip.Addr) bool { return !a.IsMulticast() && !a.IsUnspecified() && a != broadcast4 }

// NoisyAddr reports whether a packet from or to the address is noise.
func NoisyAddr(a netip.Addr) bool { return !IsUnicast(a) || a.Is6() && a.IsLinkLocalUnicast() }

// named reports whether one of the selectors contains the address and nothing but noise.
func named(list []Selector, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(s Selector) bool { return namesNoise(s) && s.Contains(a) })
}

// NamesNoise reports whether one of the selectors holds nothing but noise.
func NamesNoise(list []Selector) bool { return slices.ContainsFunc(list, namesNoise) }

func namesNoise(s Selector) bool {
	return NoisyAddr(s.Start) && NoisyAddr(s.End) && !s.Start.IsUnspecified()
}

var noiseRanges = []Selector{
	FromAddr(netip.IPv4Unspecified()), FromPrefix(netip.MustParsePrefix("224.0.0.0/4")), FromAddr(broadcast4),
	FromAddr(netip.IPv6Unspecified()), FromPrefix(netip.MustParsePrefix("fe80::/10")), FromPrefix(netip.MustParsePrefix("ff00::/8")),
}

// MatchNoise reports whether the selectors match any noise; those of most SAs do not.
func MatchNoise(list []Selector) bool {
	return slices.ContainsFunc(list, func(s Selector) bool {
		return slices.ContainsFunc(noiseRanges, s.Overlaps)
	})
}
