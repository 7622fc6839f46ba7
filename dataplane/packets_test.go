package dataplane

import (
	"culvert/tun/gso"
	"culvert/tun/gso/gsotest"
)

// The packets of the tests are made and checked by the plainest code there is, not by the code
// under test.
var (
	ipPacket  = gsotest.IPPacket
	udpPacket = gsotest.UDPPacket
	tcpPacket = gsotest.TCPPacket
	checkSums = gsotest.CheckSums
	parse     = gsotest.Parse
	pseudoSum = gsotest.PseudoSum
	sum16     = gsotest.Sum16
	fold      = gsotest.Fold
)

var allOffloads = gso.Offloads{Checksum: true, TSO: true, USO: true}
