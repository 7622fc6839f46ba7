package gso

import (
	"encoding/binary"

	"culvert/internal/ipheader"
)

// CompleteChecksum completes the upper-layer checksum of a packet with NeedsChecksum and clears
// that mark. It does nothing to any other packet. It is for single packets: a super-packet goes
// through a Segmenter. Offsets outside of the packet are ignored.
func CompleteChecksum(p *Packet) {
	if !p.NeedsChecksum {
		return
	}
	p.NeedsChecksum = false
	at := int(p.CsumStart) + int(p.CsumOffset)
	if at+2 > len(p.Data) {
		return
	}
	// The field holds the pseudo-header's sum and is summed with the rest.
	binary.BigEndian.PutUint16(p.Data[at:], ipheader.Finish(ipheader.Sum(0, p.Data[p.CsumStart:])))
}
