package selector

// The ICMP errors that quote the packet they report, and are meant for its sender. A redirect
// quotes one as well, but concerns the link between a host and its first router.
const (
	icmpUnreachable  = 3 // RFC 792
	icmpSourceQuench = 4
	icmpTimeExceeded = 11
	icmpBadParameter = 12

	icmp6Unreachable  = 1 // RFC 4443, Section 3
	icmp6TooBig       = 2
	icmp6BadParameter = 4

	icmpFragNeeded = 4 // the code of an icmpUnreachable (RFC 1191, Section 4)
	icmpHeader     = 8
)

// ICMPError reports whether the packet is an ICMP error message that quotes the packet which caused
// it (RFC 4301, Section 6). A fragment of one is not: it cannot be checked by itself.
func (p *Packet) ICMPError() bool {
	if p.Fragment != NotFragment || p.PortsUnknown {
		return false
	}
	kind := p.SrcPort >> 8
	switch {
	case p.Version == 4 && p.Protocol == ProtoICMP:
		return kind == icmpUnreachable || kind == icmpSourceQuench || kind == icmpTimeExceeded || kind == icmpBadParameter
	case p.Version == 6 && p.Protocol == ProtoICMPv6:
		return kind >= icmp6Unreachable && kind <= icmp6BadParameter
	}
	return false
}

// ICMPTooBig reports whether the packet is the ICMP error of path MTU discovery.
func (p *Packet) ICMPTooBig() bool {
	if !p.ICMPError() {
		return false
	}
	if p.Version == 4 {
		return p.SrcPort == icmpUnreachable<<8|icmpFragNeeded
	}
	return p.SrcPort>>8 == icmp6TooBig
}

// ParseQuote parses the headers of the packet that the ICMP error p quotes into quoted, and sets
// every field of quoted; after an error quoted is undefined. pkt must be the input from which p was
// parsed, and is untrusted. The quoted packet may be cut short: TotalLen then exceeds its length,
// and PortsUnknown is set if the ports are missing.
func (p *Packet) ParseQuote(pkt []byte, quoted *Packet) error {
	if p.TotalLen <= p.Upper+icmpHeader {
		return ErrTruncated
	}
	pkt = pkt[p.Upper+icmpHeader : p.TotalLen]
	if pkt[0]>>4 != p.Version {
		return ErrVersion
	}
	return parse(pkt, quoted, true)
}
