package gso

import "culvert/tun/gso/gsotest"

// The packets of the tests are made and checked by the plainest code there is, not by the code
// under test.
var (
	udpPacket = gsotest.UDPPacket
	tcpPacket = gsotest.TCPPacket
	pseudoSum = gsotest.PseudoSum
	sum16     = gsotest.Sum16
	fold      = gsotest.Fold
)
