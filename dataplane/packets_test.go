package dataplane

import (
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
)

var allOffloads = gso.Offloads{Checksum: true, TSO: true, USO: true}
