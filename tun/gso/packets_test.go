package gso

import "culvert/internal/packettest"

// The packets of the tests are made and checked by the plainest code there is, not by the code
// under test.
var (
	udpPacket = packettest.UDPPacket
	tcpPacket = packettest.TCPPacket
	pseudoSum = packettest.PseudoSum
	sum16     = packettest.Sum16
	fold      = packettest.Fold
)
