package selector

import "net/netip"

// MaxPort is the EndPort of a selector with ANY ports.
const MaxPort = 65535

// FromPrefix is the selector of all protocols for the addresses of p, whose host bits are ignored. p must be valid.
func FromPrefix(p netip.Prefix) Selector {
	p = unmapPrefix(p).Masked()
	return Selector{Start: p.Addr(), End: lastAddr(p), EndPort: MaxPort}
}

// FromAddr is the selector of all protocols for one address.
func FromAddr(a netip.Addr) Selector {
	a = a.Unmap().WithZone("")
	return Selector{Start: a, End: a, EndPort: MaxPort}
}

// All is the selector of every packet of one family: 0.0.0.0/0, or ::/0 with v6 set.
func All(v6 bool) Selector {
	if v6 {
		return FromPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return FromPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
}

// AnyPorts says whether the ports are ANY, which includes packets whose ports cannot be seen.
func (s Selector) AnyPorts() bool { return s.StartPort == 0 && s.EndPort == MaxPort }

// OpaquePorts says whether the ports are OPAQUE: only packets whose ports cannot be seen (RFC 7296, Section 3.13.1).
func (s Selector) OpaquePorts() bool { return s.StartPort == MaxPort && s.EndPort == 0 }

// Is6 says whether the selector is for IPv6.
func (s Selector) Is6() bool { return s.Start.Is6() }

// Valid says whether s is well formed: both addresses of one family, without zone, in order, never 4-in-6 mapped; and ports that can mean
// something for the protocol. RFC 4301, Section 7.1: with ANY as the protocol, "the port field values are undefined and MUST be set to ANY".
func (s Selector) Valid() bool {
	if !plainAddr(s.Start) || !plainAddr(s.End) || s.Start.BitLen() != s.End.BitLen() || s.End.Less(s.Start) {
		return false
	}
	switch {
	case s.Protocol == ProtoICMP && s.Is6(), s.Protocol == ProtoICMPv6 && !s.Is6(), s.Protocol == ProtoMobility && !s.Is6():
		return false
	case s.AnyPorts():
		return true
	case s.Protocol == ProtoAny:
		return false
	case s.OpaquePorts():
		return true
	}
	return portKinds[s.Protocol] != portsNone && s.StartPort <= s.EndPort
}

// plainAddr says whether a can stand in a selector.
func plainAddr(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }

// Contains says whether a lies in the address range.
func (s Selector) Contains(a netip.Addr) bool {
	return s.Start.Compare(a) <= 0 && a.Compare(s.End) <= 0
}

// Covers says whether every packet that o matches is matched by s, as far as one selector can say.
func (s Selector) Covers(o Selector) bool {
	return s.Contains(o.Start) && s.Contains(o.End) &&
		(s.Protocol == ProtoAny || s.Protocol == o.Protocol) &&
		(s.AnyPorts() || s.StartPort == o.StartPort && s.EndPort == o.EndPort ||
			!s.OpaquePorts() && !o.OpaquePorts() && s.StartPort <= o.StartPort && o.EndPort <= s.EndPort)
}

// Overlaps says whether s and o have a packet in common.
func (s Selector) Overlaps(o Selector) bool {
	_, ok := s.Intersect(o)
	return ok
}

// Intersect is the selector of the packets that both match; ok is false if there is none.
func (s Selector) Intersect(o Selector) (both Selector, ok bool) {
	if s.Start.BitLen() != o.Start.BitLen() {
		return Selector{}, false
	}
	both = s
	if both.Start.Less(o.Start) {
		both.Start = o.Start
	}
	if o.End.Less(both.End) {
		both.End = o.End
	}
	if both.End.Less(both.Start) {
		return Selector{}, false
	}
	switch {
	case s.Protocol == ProtoAny:
		both.Protocol = o.Protocol
	case o.Protocol != ProtoAny && o.Protocol != s.Protocol:
		return Selector{}, false
	}
	both.StartPort, both.EndPort, ok = intersectPorts(s, o)
	if !ok {
		return Selector{}, false
	}
	return both, true
}

// intersectPorts knows that ANY includes OPAQUE and that no other range does.
func intersectPorts(s, o Selector) (start, end uint16, ok bool) {
	switch {
	case s.AnyPorts():
		return o.StartPort, o.EndPort, true
	case o.AnyPorts():
		return s.StartPort, s.EndPort, true
	case s.OpaquePorts() || o.OpaquePorts():
		return MaxPort, 0, s.OpaquePorts() && o.OpaquePorts()
	}
	start, end = max(s.StartPort, o.StartPort), min(s.EndPort, o.EndPort)
	return start, end, start <= end
}

// MatchesSource says whether the source of f is one that s selects.
func (s *Selector) MatchesSource(f *Flow) bool {
	u := s.upper()
	return s.Contains(f.Src) && u.matchesSource(f)
}

// MatchesDest says whether the destination of f is one that s selects.
func (s *Selector) MatchesDest(f *Flow) bool {
	u := s.upper()
	return s.Contains(f.Dst) && u.matchesDest(f)
}

// upper is what a selector says of the upper layers: all but its addresses.
type upper struct {
	protocol           uint8
	startPort, endPort uint16
}

func (s *Selector) upper() upper { return upper{s.Protocol, s.StartPort, s.EndPort} }

func (u *upper) anyPorts() bool { return u.startPort == 0 && u.endPort == MaxPort }

func (u *upper) opaquePorts() bool { return u.startPort == MaxPort && u.endPort == 0 }

// matchesSource checks the source's.
func (u *upper) matchesSource(f *Flow) bool {
	return (u.protocol == ProtoAny || u.protocol == f.Protocol) && u.matchesPort(f, f.SrcPort)
}

// matchesDest checks the destination's. An ICMP or mobility message has one type, not a source's and a destination's, and OPAQUE beside a type says
// that this side does not send it (RFC 4301, Section 4.4.1.3, cases B to D): at the destination it is no condition.
func (u *upper) matchesDest(f *Flow) bool {
	if u.protocol == ProtoAny {
		return u.matchesPort(f, f.DstPort)
	}
	if u.protocol != f.Protocol {
		return false
	}
	oneSided := u.opaquePorts() && portKinds[u.protocol] >= portsICMP
	return oneSided || u.matchesPort(f, f.DstPort)
}

// matchesPort applies RFC 4301, Section 4.4.1.1: "If a port selector specifies a value other than ANY or OPAQUE, it cannot match
// packets that are non-initial fragments."
func (u *upper) matchesPort(f *Flow, port uint16) bool {
	if u.anyPorts() {
		return true
	}
	if f.PortsUnknown {
		return u.opaquePorts()
	}
	return u.startPort <= port && port <= u.endPort
}

// MatchOutbound says whether an outbound flow belongs to the selectors: its source to one of local, its destination to one of remote.
func MatchOutbound(f *Flow, local, remote []Selector) bool {
	return anySource(f, local) && anyDest(f, remote)
}

// MatchInbound is the check of a decrypted packet against its SA (RFC 4301, Section 5.2, step 4): its source must belong to one of remote and its
// destination to one of local.
func MatchInbound(f *Flow, local, remote []Selector) bool {
	return anySource(f, remote) && anyDest(f, local)
}

func anySource(f *Flow, list []Selector) bool {
	for i := range list {
		if list[i].MatchesSource(f) {
			return true
		}
	}
	return false
}

func anyDest(f *Flow, list []Selector) bool {
	for i := range list {
		if list[i].MatchesDest(f) {
			return true
		}
	}
	return false
}

// Specific are the two selectors of the very packet that asked for an SA, which an initiator puts first in TSi and TSr (RFC 7296, Section 2.9).
func Specific(f *Flow) (local, remote Selector) {
	local, remote = FromAddr(f.Src), FromAddr(f.Dst)
	local.Protocol, remote.Protocol = f.Protocol, f.Protocol
	if !f.PortsUnknown && f.Protocol != ProtoAny {
		local.StartPort, local.EndPort = f.SrcPort, f.SrcPort
		remote.StartPort, remote.EndPort = f.DstPort, f.DstPort
	}
	return local, remote
}
