package dataplane

import (
	"net/netip"

	"culvert/internal/packettest"
	"culvert/tun/gso"
)

// The packets of the tests are made and checked by the plainest code there is, not by the code
// under test.
var (
	ipPacket  = packettest.IPPacket
	udpPacket = packettest.UDPPacket
	tcpPacket = packettest.TCPPacket
	checkSums = packettest.CheckSums
	parse     = packettest.Parse
	pseudoSum = packettest.PseudoSum
	sum16     = packettest.Sum16
	fold      = packettest.Fold
	checkICMP = packettest.CheckICMPError
)

var (
	src4 = netip.MustParseAddrPort("10.1.0.1:1025")
	dst4 = netip.MustParseAddrPort("10.2.0.1:443")
	src6 = netip.MustParseAddrPort("[2001:db8:1::1]:1025")
	dst6 = netip.MustParseAddrPort("[2001:db8:2::1]:443")
)

var allOffloads = gso.Offloads{Checksum: true, TSO: true, USO: true}
