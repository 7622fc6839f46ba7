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

// natNotifies returns the NAT detection payloads for our address and the peer's, as far as known.
// With EncapAlways the source hash is false, so that the other side sees a NAT.
func natNotifies(spi spiPair, path ipsec.Path, encap EncapMode) []wire.Payload {
	source := natHash(spi.I, spi.R, path.Local())
	if encap == EncapAlways {
		source = falseNATHash(spi.I, spi.R)
	}
	return []wire.Payload{
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: source},
		&wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: natHash(spi.I, spi.R, path.Remote())},
	}
}

// beginsAgain begins the attempt again if its request was sent before there was a route to the
// peer, and there is one now. Its NAT_DETECTION_SOURCE_IP is of no address, so that the peer takes
// us to be behind a NAT (RFC 7296, Section 2.23).
func (n *network) beginsAgain() bool {
	if !n.hashedNoAddress() {
		return false
	}
	now := n.sa.e.localAddr(n.sa.party.profile, n.Remote().Addr())
	if !now.IsValid() {
		return false
	}
	n.leaveFor(now)
	return true
}

// hashedNoAddress reports whether our request was sent without knowing its source.
func (n *network) hashedNoAddress() bool {
	return n.sa.initiator && !n.Local().Addr().IsValid() && n.sa.party.cfg.Encap == EncapAuto && !n.Stream()
}

// detect reads the NAT detection payloads and floats to the NAT ports: "The IKE initiator MUST
// check the NAT_DETECTION_SOURCE_IP or NAT_DETECTION_DESTINATION_IP payloads if present, and if
// they do not match the addresses in the outer packet, MUST tunnel all future IKE and ESP packets
// associated with this IKE SA over UDP port 4500" (RFC 7296, Section 2.23). The responder floats
// when it answers to the source of the next request.
func (n *network) detect(encap EncapMode, from ipsec.Path, ps []wire.Payload) {
	unknown := n.hashedNoAddress()
	n.Path = n.WithLocal(from.Local().Addr())
	if encap == EncapNever {
		return
	}
	nat, supported := detectNAT(ps, n.sa.spi.I, n.natSPIr(), from)
	nat.Local = nat.Local || unknown && supported // the peer concludes so from the hash that we sent
	n.nat, n.encap = nat, encapImpossible
	if supported {
		n.encap = encapPossible
	}
	if nat.Local || nat.Remote || encap == EncapAlways {
		n.encap.use()
	}
	if n.sa.initiator && (n.encap == encapUsed || n.tied() && n.sa.party.memory.choice(n) == overUDP) {
		n.float(n.sa.party.profile)
	}
	n.tie()
}

// found takes what NAT detection on an IKE SA that lives has shown. What is to go in UDP does so
// when the IKE SA has gone on to the NAT port.
func (n *network) found(nat NATState) {
	n.nat = nat
	switch {
	case !n.encap.possible():
	case nat == NATState{} && n.sa.party.cfg.Encap != EncapAlways:
		n.encap = encapPossible
	case n.Via().CarriesESP:
		n.encap = encapUsed
	}
	n.tie()
}

// natSPIr returns the responder's SPI in the header of the message with the hashes. It is zero in
// the first request.
func (n *network) natSPIr() wire.SPI {
	if n.sa.initiator {
		return n.sa.spi.R
	}
	return 0
}
