package netio

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
)

// Types and codes (RFC 792, RFC 1122, Section 3.2.2.1, RFC 1191, RFC 1812, Section 5.2.7.1, RFC
// 4443), and the protocols that carry IKE and ESP.
const (
	icmpUnreachable  = 3
	icmpFragNeeded   = 4
	icmp6Unreachable = 1
	icmp6TooBig      = 2
	icmp6Parameter   = 4
	icmp6NextHeader  = 1 // a code of icmp6Parameter: the host does not know the protocol
	icmpQuoteAt      = 8 // where the quoted packet begins
	protoUDP         = 17
	protoESP         = 50

	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8
)

// ports are our own: of IKE and of UDP encapsulation.
type ports struct{ ike, nat uint16 }

// A quotation is what an ICMP error quotes of a packet: its addresses, and what follows its IP
// header.
type quotation struct {
	local, remote netip.Addr
	proto         uint8
	upper         []byte
}

// readQuote reads the packet that an ICMP error quotes, which is not a later fragment.
func readQuote(b []byte, v6 bool) (q quotation, ok bool) {
	switch {
	case v6 && len(b) >= icmpQuoteAt+ipv6Header:
		b = b[icmpQuoteAt:]
		return quotation{netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6], b[ipv6Header:]}, true
	case v6 || len(b) < icmpQuoteAt+ipv4Header || ipheader.Sum(0, b) != 0xffff:
		return q, false
	}
	b = b[icmpQuoteAt:]
	header := int(b[0]&0x0f) * 4
	later := binary.BigEndian.Uint16(b[6:])&0x1fff != 0 // a fragment other than the first
	if b[0]>>4 != 4 || header < ipv4Header || header > len(b) || later {
		return q, false
	}
	return quotation{netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9], b[header:]}, true
}

// path returns the path of the quoted packet and what of it follows the IP and UDP headers. ok is
// false if it is of another protocol, or not from one of the given ports.
func (q *quotation) path(via *ipsec.Transport, ports ...uint16) (p ipsec.Path, rest []byte, ok bool) {
	switch {
	case q.proto == protoESP && via == ipsec.Raw:
		return ipsec.RawPath(q.local, q.remote), q.upper, true
	case q.proto != protoUDP || via == ipsec.Raw || len(q.upper) < udpHeader:
		return p, nil, false
	}
	port := binary.BigEndian.Uint16(q.upper)
	if !slices.Contains(ports, port) {
		return p, nil, false
	}
	to := at(q.remote, binary.BigEndian.Uint16(q.upper[2:]))
	return ipsec.NewPath(via, at(q.local, port), to, 0), q.upper[udpHeader:], true
}

// parseTooBig parses an ICMP message; ok is false if it is not a "too big" error about a packet of
// ours.
func parseTooBig(b []byte, v6 bool, natPorts ...uint16) (e TooBig, ok bool) {
	q, ok := readQuote(b, v6)
	switch {
	case !ok:
		return e, false
	case v6 && b[0] == icmp6TooBig:
		e.MTU = int(binary.BigEndian.Uint32(b[4:]))
	case !v6 && b[0] == icmpUnreachable && b[1] == icmpFragNeeded:
		e.MTU = int(binary.BigEndian.Uint16(b[6:]))
	default:
		return e, false
	}
	via := ipsec.NAT
	if q.proto == protoESP {
		via = ipsec.Raw
	}
	var esp []byte
	e.Path, esp, ok = q.path(via, natPorts...)
	if ok && len(esp) >= spiLen {
		e.SPI = binary.BigEndian.Uint32(esp)
	}
	return e, ok
}

// ikeSPILen is the length of an SPI of IKE; the initiator's begins a message.
const ikeSPILen = 8

// parseUnreachable parses an ICMP message; ok is false if it does not say that a packet, possibly
// of ours, was not delivered.
func parseUnreachable(b []byte, v6 bool, own ports) (u ipsec.Unreachable, ok bool) {
	q, ok := readQuote(b, v6)
	if !ok {
		return u, false
	}
	if u.Why = obstacleOf(b[0], b[1], v6); u.Why == ipsec.NoObstacle {
		return u, false
	}
	for _, c := range [...]struct {
		via  *ipsec.Transport
		port uint16
	}{{ipsec.Raw, 0}, {ipsec.UDP, own.ike}, {ipsec.NAT, own.nat}} {
		if p, rest, ok := q.path(c.via, c.port); ok {
			u.Path = p
			readSPI(&u, rest)
			return u, true
		}
	}
	return u, false
}

// readSPI reads the SPI of a quoted message.
func readSPI(u *ipsec.Unreachable, b []byte) {
	ike := u.Path.Via() == ipsec.UDP
	if u.Path.Via() == ipsec.NAT && len(b) >= markerLen && binary.BigEndian.Uint32(b) == 0 {
		ike, b = true, b[markerLen:]
	}
	switch {
	case ike && len(b) >= ikeSPILen:
		u.IKE = binary.BigEndian.Uint64(b)
	case !ike && len(b) >= spiLen:
		u.ESP = binary.BigEndian.Uint32(b)
	}
}

// obstacleOf returns what an ICMP error says; NoObstacle if it is about something else.
func obstacleOf(typ, code uint8, v6 bool) ipsec.Obstacle {
	table := unreachable4
	switch {
	case v6 && typ == icmp6Parameter && code == icmp6NextHeader:
		return ipsec.ObstacleProtocol
	case v6 && typ == icmp6Unreachable:
		table = unreachable6
	case v6 || typ != icmpUnreachable:
		return ipsec.NoObstacle
	}
	if int(code) >= len(table) {
		return ipsec.NoObstacle
	}
	return table[code]
}

// The codes of "destination unreachable".
var (
	unreachable4 = []ipsec.Obstacle{
		0: ipsec.ObstacleNet, 1: ipsec.ObstacleHost, 2: ipsec.ObstacleProtocol, 3: ipsec.ObstaclePort, 5: ipsec.ObstacleNet,
		6: ipsec.ObstacleNet, 7: ipsec.ObstacleHost, 8: ipsec.ObstacleHost, 9: ipsec.ObstacleProhibited, 10: ipsec.ObstacleProhibited,
		11: ipsec.ObstacleNet, 12: ipsec.ObstacleHost, 13: ipsec.ObstacleProhibited, 14: ipsec.ObstacleProhibited, 15: ipsec.ObstacleProhibited,
	}
	unreachable6 = []ipsec.Obstacle{
		0: ipsec.ObstacleNet, 1: ipsec.ObstacleProhibited, 2: ipsec.ObstacleHost, 3: ipsec.ObstacleHost, 4: ipsec.ObstaclePort,
		5: ipsec.ObstacleProhibited, 6: ipsec.ObstacleProhibited,
	}
)
