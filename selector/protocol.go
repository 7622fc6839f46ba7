package selector

// The protocol numbers (IANA "Assigned Internet Protocol Numbers") with special treatment here.
const (
	ProtoAny      = 0 // in a Selector; in a packet 0 is the hop-by-hop header
	ProtoICMP     = 1
	ProtoIPv4     = 4
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoDCCP     = 33
	ProtoIPv6     = 41
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNoNext   = 59
	ProtoSCTP     = 132
	ProtoMobility = 135
	ProtoUDPLite  = 136
)

// protocolNames are the names that ParseSelector knows. String writes the first name of a number.
var protocolNames = []struct {
	number uint8
	name   string
}{
	{ProtoICMP, "icmp"}, {2, "igmp"}, {ProtoIPv4, "ipip"}, {ProtoTCP, "tcp"}, {8, "egp"}, {9, "igp"}, {ProtoUDP, "udp"},
	{27, "rdp"}, {ProtoDCCP, "dccp"}, {ProtoIPv6, "ipv6"}, {46, "rsvp"}, {47, "gre"}, {ProtoESP, "esp"}, {ProtoAH, "ah"},
	{ProtoICMPv6, "ipv6-icmp"}, {ProtoICMPv6, "icmpv6"}, {ProtoICMPv6, "icmp6"}, {88, "eigrp"}, {89, "ospf"}, {94, "ipip2"},
	{97, "etherip"}, {103, "pim"}, {108, "ipcomp"}, {112, "vrrp"}, {115, "l2tp"}, {124, "isis"}, {ProtoSCTP, "sctp"},
	{ProtoMobility, "ipv6-mh"}, {ProtoMobility, "mh"}, {ProtoMobility, "mobility-header"}, {ProtoUDPLite, "udplite"},
	{137, "mpls-in-ip"}, {ProtoAny, "any"},
}

// portKind tells what the "port" fields of a selector hold for a protocol (RFC 4301, Section
// 4.4.1.1).
type portKind uint8

const (
	portsNone     portKind = iota // no such fields: ANY or OPAQUE only
	portsTwo                      // source and destination port
	portsICMP                     // type<<8 | code, one for the packet
	portsMobility                 // MH type<<8, one for the packet
)

// portKinds is indexed by protocol. TCP, UDP, UDP-Lite, SCTP and DCCP all begin with source and
// destination port.
var portKinds = [256]portKind{
	ProtoTCP: portsTwo, ProtoUDP: portsTwo, ProtoUDPLite: portsTwo, ProtoSCTP: portsTwo, ProtoDCCP: portsTwo,
	ProtoICMP: portsICMP, ProtoICMPv6: portsICMP, ProtoMobility: portsMobility,
}
