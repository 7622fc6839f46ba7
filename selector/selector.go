package selector

import "net/netip"

// MaxPort is the highest port: the EndPort of a selector with ANY ports.
const MaxPort = 65535

// FromPrefix returns the selector of all protocols for the addresses of p, ignoring its host bits.
// p must be valid.
func FromPrefix(p netip.Prefix) Selector {
	p = unmapPrefix(p).Masked()
	return Selector{Start: p.Addr(), End: lastAddr(p), EndPort: MaxPort}
}

// FromAddr returns the selector of all protocols for one address.
func FromAddr(a netip.Addr) Selector {
	a = a.Unmap().WithZone("")
	return Selector{Start: a, End: a, EndPort: MaxPort}
}

// All returns the selector of every packet of one family: 0.0.0.0/0, or ::/0 with v6 set.
func All(v6 bool) Selector {
	if v6 {
		return FromPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return FromPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
}

// AnyPorts reports whether the ports are ANY, which includes packets without visible ports.
func (s Selector) AnyPorts() bool { return s.StartPort == 0 && s.EndPort == MaxPort }

// OpaquePorts reports whether the ports are OPAQUE: only packets without visible ports (RFC 7296,
// Section 3.13.1).
func (s Selector) OpaquePorts() bool { return s.StartPort == MaxPort && s.EndPort == 0 }

// Is6 reports whether the selector is for IPv6.
func (s Selector) Is6() bool { return s.Start.Is6() }

// Valid reports whether s is well formed: addresses of one family, in order, without zone, not
// 4-in-6 mapped, and ports that the protocol can have. RFC 4301, Section 7.1: with ANY as the
// protocol, "the port field values are undefined and MUST be set to ANY".
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

// plainAddr reports whether a selector may contain a.
func plainAddr(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }

// Contains reports whether a lies in the address range.
func (s Selector) Contains(a netip.Addr) bool {
	return s.Start.Compare(a) <= 0 && a.Compare(s.End) <= 0
}

// Covers reports whether s alone matches every packet that o matches.
func (s Selector) Covers(o Selector) bool {
	return s.Contains(o.Start) && s.Contains(o.End) &&
		(s.Protocol == ProtoAny || s.Protocol == o.Protocol) &&
		(s.AnyPorts() || s.StartPort == o.StartPort && s.EndPort == o.EndPort ||
			!s.OpaquePorts() && !o.OpaquePorts() && s.StartPort <= o.StartPort && o.EndPort <= s.EndPort)
}

// Overlaps reports whether s and o have a packet in common.
func (s Selector) Overlaps(o Selector) bool {
	_, ok := s.Intersect(o)
	return ok
}

// Intersect returns the selector of the packets that both match; ok is false if there are none.
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

// intersectPorts returns the ports that both match. ANY includes OPAQUE, other ranges do not.
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

// MatchesSource reports whether s selects the source of f.
func (s *Selector) MatchesSource(f *Flow) bool {
	u := s.upper()
	return s.Contains(f.Src) && u.matchesSource(f)
}

// MatchesDest reports whether s selects the destination of f.
func (s *Selector) MatchesDest(f *Flow) bool {
	u := s.upper()
	return s.Contains(f.Dst) && u.matchesDest(f)
}

// An upper is the upper-layer part of a selector: all but its addresses.
type upper struct {
	protocol           uint8
	startPort, endPort uint16
}

func (s *Selector) upper() upper { return upper{s.Protocol, s.StartPort, s.EndPort} }

func (u *upper) anyPorts() bool { return u.startPort == 0 && u.endPort == MaxPort }

func (u *upper) opaquePorts() bool { return u.startPort == MaxPort && u.endPort == 0 }

// matchesSource reports whether u matches the source of f.
func (u *upper) matchesSource(f *Flow) bool {
	return (u.protocol == ProtoAny || u.protocol == f.Protocol) && u.matchesPort(f, f.SrcPort)
}

// matchesDest reports whether u matches the destination of f. An ICMP or mobility message has one
// type, not a source's and a destination's. OPAQUE beside a type means that this side does not send
// it (RFC 4301, Section 4.4.1.3, cases B to D), so at the destination it is not a condition.
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

// matchesPort reports whether u matches port, which is one of f. RFC 4301, Section 4.4.1.1: "If a
// port selector specifies a value other than ANY or OPAQUE, it cannot match packets that are
// non-initial fragments."
func (u *upper) matchesPort(f *Flow, port uint16) bool {
	if u.anyPorts() {
		return true
	}
	if f.PortsUnknown {
		return u.opaquePorts()
	}
	return u.startPort <= port && port <= u.endPort
}

// MatchOutbound reports whether an outbound flow matches the selectors: its source one of local,
// its destination one of remote.
func MatchOutbound(f *Flow, local, remote []Selector) bool {
	return anySource(f, local) && anyDest(f, remote)
}

// MatchInbound reports whether a decrypted packet belongs to its SA (RFC 4301, Section 5.2, step
// 4): its source must match one of remote, its destination one of local.
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

// Specific returns the selectors of one packet, the one that asked for an SA. An initiator puts
// them first in TSi and TSr (RFC 7296, Section 2.9).
func Specific(f *Flow) (local, remote Selector) {
	local, remote = FromAddr(f.Src), FromAddr(f.Dst)
	local.Protocol, remote.Protocol = f.Protocol, f.Protocol
	if !f.PortsUnknown && f.Protocol != ProtoAny {
		local.StartPort, local.EndPort = f.SrcPort, f.SrcPort
		remote.StartPort, remote.EndPort = f.DstPort, f.DstPort
	}
	return local, remote
}
