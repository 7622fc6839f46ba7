package ike

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// natHash returns the data of NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP: SHA-1(SPIi
// | SPIr | address | port), with the SPIs "in the order they appear in the header" (RFC 7296,
// Section 2.23). SPIr is zero in a first IKE_SA_INIT request.
func natHash(spiI, spiR wire.SPI, addr netip.AddrPort) []byte {
	b := make([]byte, 0, 8+8+16+2)
	b = binary.BigEndian.AppendUint64(b, uint64(spiI))
	b = binary.BigEndian.AppendUint64(b, uint64(spiR))
	b = append(b, addr.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, addr.Port())
	sum := sha1.Sum(b)
	return sum[:]
}

// falseNATHash returns a hash that matches no address, for a side that wants UDP encapsulation
// without a NAT (encap = "always"). The peer concludes that we are behind a NAT.
func falseNATHash(spiI, spiR wire.SPI) []byte {
	return natHash(spiI, spiR, netip.AddrPort{})
}

// detectNAT reads the NAT detection payloads of a message that came on a path. If no
// source hash matches, the sender is behind a NAT; if no destination hash matches, we are. It
// reports supported if the peer sent both kinds. Otherwise there is no NAT traversal, and no NAT is
// assumed.
func detectNAT(ps []wire.Payload, spiI, spiR wire.SPI, from ipsec.Path) (state NATState, supported bool) {
	var sources, destinations, sourceMatches, destinationMatches int
	for _, p := range ps {
		n, ok := p.(*wire.Notify)
		if !ok {
			continue
		}
		switch n.Kind {
		case wire.NATDetectionSourceIP:
			sources++
			sourceMatches += subtle.ConstantTimeCompare(n.Data, natHash(spiI, spiR, from.Remote()))
		case wire.NATDetectionDestinationIP:
			destinations++
			destinationMatches += subtle.ConstantTimeCompare(n.Data, natHash(spiI, spiR, from.Local()))
		}
	}
	if sources == 0 || destinations == 0 {
		return NATState{}, false
	}
	return NATState{Local: destinationMatches == 0, Remote: sourceMatches == 0}, true
}
