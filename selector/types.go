// Package selector implements traffic selectors, the parsing of packets into flows, the narrowing
// of selectors (RFC 7296, Section 2.9) and the policy table (the SPD of RFC 4301, Section 4.4.1).
package selector

import "net/netip"

// A Selector is one traffic selector: an address range, a protocol and a port range (RFC 7296,
// Section 3.13.1). For ICMP and ICMPv6 the ports hold type and code: type<<8 | code. OPAQUE ports
// are StartPort 65535, EndPort 0.
type Selector struct {
	Start, End         netip.Addr // inclusive, same family, Start <= End
	Protocol           uint8      // 0: any
	StartPort, EndPort uint16     // 0-65535: any
}

// A Flow holds the fields of a packet that policies match. Src and Dst are never 4-in-6 mapped.
type Flow struct {
	Src, Dst         netip.Addr
	Protocol         uint8  // the upper-layer protocol, after all IPv6 extension headers
	SrcPort, DstPort uint16 // ICMP: SrcPort and DstPort both hold type<<8 | code
	// PortsUnknown is set for a non-initial fragment, for a protocol without ports, or if the
	// packet ends before the ports: only selectors with ANY or OPAQUE ports match.
	PortsUnknown bool
}

// Reverse returns the flow of the reply: source and destination exchanged.
func (f Flow) Reverse() Flow {
	f.Src, f.Dst = f.Dst, f.Src
	f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	return f
}
