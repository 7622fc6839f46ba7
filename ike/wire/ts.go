package wire

import (
	"encoding/binary"
	"net/netip"
)

// Traffic Selector types (RFC 7296, Section 3.13.1).
const (
	tsIPv4AddrRange = 7
	tsIPv6AddrRange = 8
)

// parseTS parses the selectors. It skips one of an unknown type by its length: such a selector
// matches no packet, and so is removed by narrowing (RFC 7296, Section 2.9). Selectors may
// therefore be empty, which is answered with TS_UNACCEPTABLE.
func parseTS(r *reader, responder bool) *TS {
	ts := &TS{Responder: responder}
	count := int(r.u8("Number of TSs"))
	r.reserved(3)
	n := 0
	for ; r.more(); n++ {
		if n == count {
			r.fail("more selectors than the %d announced", count)
			return ts
		}
		if s, known := parseSelector(r); known {
			ts.Selectors = append(ts.Selectors, s)
		}
	}
	if n != count {
		r.fail("%d selectors, but %d were announced", n, count)
	}
	return ts
}

func parseSelector(parent *reader) (s TrafficSelector, known bool) {
	kind, protocol := parent.u8("TS Type"), parent.u8("IP Protocol ID")
	length := int(parent.u16("Selector Length"))
	r := parent.sub(length-4, "traffic selector")
	var addrLen int
	switch kind {
	case tsIPv4AddrRange:
		addrLen = 4
	case tsIPv6AddrRange:
		addrLen = 16
	default:
		return s, false
	}
	s.Protocol = protocol
	s.StartPort, s.EndPort = r.u16("Start Port"), r.u16("End Port")
	s.Start, _ = netip.AddrFromSlice(r.take(addrLen, "Starting Address"))
	s.End, _ = netip.AddrFromSlice(r.take(addrLen, "Ending Address"))
	r.end("traffic selector")
	return s, true
}

func (p *TS) appendBody(b []byte) []byte {
	b = append(b, octetCount(len(p.Selectors)), 0, 0, 0)
	for _, s := range p.Selectors {
		b = s.appendTo(b)
	}
	return b
}

func (s TrafficSelector) appendTo(b []byte) []byte {
	start := len(b)
	kind := byte(tsIPv6AddrRange)
	if s.Start.Is4() && s.End.Is4() {
		kind = tsIPv4AddrRange
	}
	b = append(b, kind, s.Protocol, 0, 0)
	b = binary.BigEndian.AppendUint16(b, s.StartPort)
	b = binary.BigEndian.AppendUint16(b, s.EndPort)
	for _, a := range [...]netip.Addr{s.Start, s.End} {
		if kind == tsIPv4AddrRange {
			b = append(b, a.AsSlice()...)
			continue
		}
		a16 := a.As16()
		b = append(b, a16[:]...)
	}
	putLength(b[start:], 2)
	return b
}
