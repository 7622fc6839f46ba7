package ipheader

// Lengths of headers without options and extension headers.
const (
	IPv4Len = 20 // RFC 791, Section 3.1
	IPv6Len = 40 // RFC 8200, Section 3
	TCPLen  = 20 // RFC 9293, Section 3.1
	UDPLen  = 8  // RFC 768
	ICMPLen = 8  // RFC 792; RFC 4443, Section 2.1
)

// Fields of the IPv4 header, and the bits of the two octets at IPv4Fragment.
const (
	IPv4TotalLength = 2
	IPv4ID          = 4
	IPv4Fragment    = 6
	IPv4Checksum    = 10

	IPv4DF         = 0x4000
	IPv4MF         = 0x2000
	IPv4OffsetMask = 0x1fff // in units of 8 octets

	IPv4OptionCopied = 0x80 // in an option's type: it goes into all fragments
)

// The bits of the two octets at offset 2 of the IPv6 fragment header (RFC 8200, Section 4.5).
const (
	IPv6OffsetMask = 0xfff8 // in octets, as the field is shifted by three
	IPv6M          = 0x0001
)

// Numbers of the IPv6 extension headers between the IPv6 header and the upper layer (RFC 8200,
// Section 4).
const (
	ExtHopByHop    = 0
	ExtRouting     = 43
	ExtFragment    = 44
	ExtDestination = 60
)

// Fields of the TCP header (RFC 9293, Section 3.1), and the bits of the octet at TCPFlags.
const (
	TCPSeq        = 4
	TCPAck        = 8
	TCPDataOffset = 12
	TCPFlags      = 13
	TCPWindow     = 14
	TCPChecksum   = 16
	TCPUrgent     = 18

	TCPFIN = 0x01
	TCPSYN = 0x02
	TCPRST = 0x04
	TCPPSH = 0x08
	TCPURG = 0x20
	TCPCWR = 0x80 // RFC 3168, Section 6.1
)

// Fields of the UDP header.
const (
	UDPLength   = 4
	UDPChecksum = 6
)

// ICMPChecksum is the checksum field of an ICMP header.
const ICMPChecksum = 2
