package selector

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// opaqueText is the notation for OPAQUE ports.
const opaqueText = "opaque"

// ParseSelector reads a selector in the notation of the configuration: addresses, then optionally a
// protocol, then optionally its ports:
//
//	10.1.0.0/16                        a network
//	10.3.0.7, 10.3.0.7/32              one address
//	10.4.0.1-10.4.0.77                 a range of addresses
//	2001:db8:2::/64 tcp                a protocol by name or number
//	10.3.0.7/32 tcp/443                one port of TCP, UDP, UDP-Lite, SCTP or DCCP
//	10.4.0.0/24 udp/1024-2047          a range of ports
//	10.1.0.0/16 icmp/8                 all codes of one ICMP or ICMPv6 type
//	10.1.0.0/16 icmp/3.0-3.4           a range of type.code
//	2001:db8::/32 ipv6-mh/5            one type of mobility message
//	10.1.0.0/16 tcp/opaque             fragments without visible ports (RFC 4301, 4.4.1.1)
//
// Without ports, or with tcp/any, it selects all packets of the protocol, fragments included. The
// error names the remedy.
func ParseSelector(text string) (Selector, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Selector{}, fmt.Errorf("selector is empty: give a network, for example %q", "10.1.0.0/16")
	}
	if len(fields) > 2 {
		return Selector{}, fmt.Errorf("selector %q has more than two parts: give addresses, then a space, then protocol/ports, for example %q", text, "10.3.0.7/32 tcp/443")
	}
	s, err := parseAddresses(fields[0])
	if err != nil {
		return Selector{}, fmt.Errorf("selector %q: %w", text, err)
	}
	if len(fields) == 2 {
		if err := s.parseUpperText(fields[1]); err != nil {
			return Selector{}, fmt.Errorf("selector %q: %w", text, err)
		}
	}
	return s, nil
}

func parseAddresses(text string) (Selector, error) {
	if first, last, ok := strings.Cut(text, "-"); ok {
		return parseRange(first, last)
	}
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Selector{}, fmt.Errorf("%q is not a network: give an address and a prefix length, for example 10.1.0.0/16 or 2001:db8::/32", text)
		}
		if p.Addr().Is4In6() {
			return Selector{}, mappedError(p.Addr())
		}
		if p != p.Masked() {
			return Selector{}, fmt.Errorf("%s has host bits set: use %s for the network or %s for the one address", p, p.Masked(), p.Addr())
		}
		return FromPrefix(p), nil
	}
	a, err := parseAddr(text)
	if err != nil {
		return Selector{}, err
	}
	return FromAddr(a), nil
}

func parseRange(first, last string) (Selector, error) {
	a, err := parseAddr(first)
	if err != nil {
		return Selector{}, err
	}
	b, err := parseAddr(last)
	if err != nil {
		return Selector{}, err
	}
	if a.BitLen() != b.BitLen() {
		return Selector{}, fmt.Errorf("the range begins in one address family and ends in the other: use two ranges")
	}
	if b.Less(a) {
		return Selector{}, fmt.Errorf("the range ends before it begins: use %s-%s", b, a)
	}
	return Selector{Start: a, End: b, EndPort: MaxPort}, nil
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("%q is not an IP address: use for example 10.1.0.1 or 2001:db8::1; names are not accepted", text)
	}
	if a.Is4In6() {
		return a, mappedError(a)
	}
	if a.Zone() != "" {
		return a, fmt.Errorf("%s has a zone, which has no meaning to the peer: use %s", a, a.WithZone(""))
	}
	return a, nil
}

func mappedError(a netip.Addr) error {
	return fmt.Errorf("%s is an IPv4 address in IPv6 form: use %s", a, a.Unmap())
}

// parseUpperText reads "tcp" or "tcp/443" into s, whose addresses are set.
func (s *Selector) parseUpperText(text string) error {
	name, ports, hasPorts := strings.Cut(text, "/")
	proto, err := parseProtocol(name)
	if err != nil {
		return err
	}
	s.Protocol = proto
	switch {
	case (proto == ProtoICMPv6 || proto == ProtoMobility) && !s.Is6():
		return fmt.Errorf("%s belongs to IPv6, the addresses to IPv4: use icmp, or IPv6 addresses", name)
	case proto == ProtoICMP && s.Is6():
		return fmt.Errorf("%s belongs to IPv4, the addresses to IPv6: use icmpv6", name)
	case !hasPorts || ports == "any":
		return nil
	case proto == ProtoAny:
		return fmt.Errorf("ports need a protocol: use tcp/%s or udp/%s, one selector for each", ports, ports)
	case ports == opaqueText:
		s.StartPort, s.EndPort = MaxPort, 0
		return nil
	}
	return s.parsePorts(name, ports)
}

func parseProtocol(name string) (uint8, error) {
	lower := strings.ToLower(name)
	for _, p := range protocolNames {
		if p.name == lower {
			return p.number, nil
		}
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is not a protocol: use a name such as tcp, udp, sctp, icmp, icmpv6 or gre, or a number from 0 to 255", name)
	}
	return uint8(n), nil
}

func (s *Selector) parsePorts(name, text string) error {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var err error
	switch portKinds[s.Protocol] {
	case portsTwo:
		s.StartPort, s.EndPort, err = parsePortRange(first, last)
	case portsICMP:
		s.StartPort, s.EndPort, err = parseTypeRange(first, last, 255)
	case portsMobility:
		s.StartPort, s.EndPort, err = parseTypeRange(first, last, 0)
	default:
		return fmt.Errorf("%s has no ports: use %s alone", name, name)
	}
	if err != nil {
		return err
	}
	if s.EndPort < s.StartPort {
		return fmt.Errorf("%s/%s ends before it begins: use %s/%s-%s", name, text, name, last, first)
	}
	return nil
}

func parsePortRange(first, last string) (start, end uint16, err error) {
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil {
		return 0, 0, fmt.Errorf("bad port: use a number from 0 to 65535, or two with a - between")
	}
	return uint16(a), uint16(b), nil
}

// parseTypeRange reads "type" or "type.code" twice. The last one defaults to lastCode.
func parseTypeRange(first, last string, lastCode uint16) (start, end uint16, err error) {
	start, errA := parseType(first, 0)
	end, errB := parseType(last, lastCode)
	if errA != nil || errB != nil {
		return 0, 0, fmt.Errorf("bad type: use a number from 0 to 255, or type.code, or two of them with a - between, for example icmp/8 or icmp/3.0-3.4")
	}
	return start, end, nil
}

func parseType(text string, code uint16) (uint16, error) {
	typeText, codeText, hasCode := strings.Cut(text, ".")
	t, err := strconv.ParseUint(typeText, 10, 8)
	if err != nil {
		return 0, err
	}
	if hasCode {
		c, err := strconv.ParseUint(codeText, 10, 8)
		if err != nil {
			return 0, err
		}
		code = uint16(c)
	}
	return uint16(t)<<8 | code, nil
}

// String returns the canonical text of s. ParseSelector reads it back to the same value if s is
// valid.
func (s Selector) String() string {
	var text string
	if p, ok := s.Prefix(); ok {
		text = p.String()
	} else {
		text = s.Start.String() + "-" + s.End.String()
	}
	if s.Protocol == ProtoAny {
		return text
	}
	text += " " + ProtocolName(s.Protocol)
	switch {
	case s.AnyPorts():
		return text
	case s.OpaquePorts():
		return text + "/" + opaqueText
	}
	return text + "/" + s.portText()
}

// ProtocolName returns a protocol's name as ParseSelector reads it, or its number.
func ProtocolName(number uint8) string {
	for _, p := range protocolNames {
		if p.number == number {
			return p.name
		}
	}
	return strconv.Itoa(int(number))
}

func (s Selector) portText() string {
	switch portKinds[s.Protocol] {
	case portsICMP:
		return typeRangeText(s.StartPort, s.EndPort, 255)
	case portsMobility:
		return typeRangeText(s.StartPort, s.EndPort, 0)
	}
	return rangeText(strconv.Itoa(int(s.StartPort)), strconv.Itoa(int(s.EndPort)))
}

// typeRangeText returns the text of a range of types and codes. It omits codes that parseTypeRange
// would fill in.
func typeRangeText(start, end, lastCode uint16) string {
	first, last := start>>8, end>>8
	if start&0xff == 0 && end&0xff == lastCode {
		return rangeText(strconv.Itoa(int(first)), strconv.Itoa(int(last)))
	}
	return rangeText(fmt.Sprintf("%d.%d", first, start&0xff), fmt.Sprintf("%d.%d", last, end&0xff))
}

func rangeText(first, last string) string {
	if first == last {
		return first
	}
	return first + "-" + last
}
