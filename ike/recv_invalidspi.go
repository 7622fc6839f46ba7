package ike

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// After a restart, a peer's ESP is likelier to come than its IKE. A message outside of any IKE SA
// tells its sender that the SPI is not in use (RFC 7296, Sections 1.5 and 2.21). The sender then
// asks whether its IKE SA exists, and the answer to that may prove that it does not.

// minAnsweredESP is the length of the shortest ESP packet that is answered: the answer is not
// longer, with a UDP header of its own where the packet came without one.
const minAnsweredESP = 48

// answerESP sends INVALID_SPI to the sender of an ESP packet, whose address may be forged. A peer
// whose IKE SA is there is asked by that first. If it has all that are known, the packet is of yet
// another one with that address.
func (e *Engine) answerESP(in UnknownSPI) {
	to := e.pathForIKE(in.Path)
	if in.Size < minAnsweredESP || !e.mayAnswer(to) || slices.ContainsFunc(e.sas.byAddr[to.Remote().Addr()], func(s *ikeSA) bool {
		return s.isEstablished() && (s.net.Remote() == to.Remote() || !in.Path.Encapsulated()) && !s.live.Vouched(e.handling.now)
	}) {
		return
	}
	if !e.unprotected.AllowInvalidSPI(e.handling.now, to.Remote().Addr(), e.knows(to.Remote().Addr())) {
		e.count("ike_errors_limited")
		return
	}
	spi, err := e.freshSPI()
	if err != nil {
		return
	}
	e.count("ike_invalid_spi_sent")
	m := wire.Message{
		Header:   wire.Header{InitiatorSPI: spi, Exchange: wire.Informational, Initiator: true}, // of no IKE SA
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidSPI, Data: binary.BigEndian.AppendUint32(nil, in.SPI)}},
	}
	e.transmit(to, [][]byte{m.AppendTo(nil)})
}

// mayAnswer reports whether something unprotected may be sent on a path: from an address of this
// host to another's.
func (e *Engine) mayAnswer(p ipsec.Path) bool {
	to := p.Remote().Addr()
	if !p.IsValid() || to.IsMulticast() || to.IsUnspecified() || p.Local().Addr().IsMulticast() {
		return false
	}
	return e.cfg.HasAddr == nil || e.hasAddr(p.Local().Addr()) && !e.hasAddr(to)
}

// pathForIKE returns where IKE reaches the sender of ESP: the same path, or its port of IKE.
func (e *Engine) pathForIKE(p ipsec.Path) ipsec.Path {
	if p.Encapsulated() {
		return p
	}
	local, remote := p.Local().Addr(), p.Remote().Addr()
	port := uint16(defaultIKEPort)
	if known := e.peers.at(p); len(known) > 0 && slices.Contains(known[0].cfg.Remote, remote) {
		if port = known[0].cfg.RemotePort; port == known[0].cfg.RemoteNATPort {
			return ipsec.NATPath(netip.AddrPortFrom(local, e.cfg.NATPort), netip.AddrPortFrom(remote, port))
		}
	}
	return ipsec.UDPPath(netip.AddrPortFrom(local, e.cfg.IKEPort), netip.AddrPortFrom(remote, port))
}
