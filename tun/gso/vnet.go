package gso

import (
	"encoding/binary"
	"errors"
)

// VnetLen is the length of struct virtio_net_hdr, <linux/virtio_net.h>:
//
//	u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset
//
// in the host's byte order, which is what a TUN device uses unless told otherwise.
const VnetLen = 10

// Values of struct virtio_net_hdr.
const (
	vnetNeedsCsum = 1 // flags

	vnetGSONone  = 0 // gso_type
	vnetGSOTCPv4 = 1
	vnetGSOTCPv6 = 4
	vnetGSOUDPL4 = 5
	vnetGSOECN   = 0x80 // a bit beside the type: the first segment carries CWR
)

var (
	errMalformed   = errors.New("gso: the packet does not match its virtio-net header")
	errUnknownGSO  = errors.New("gso: unknown kind of super-packet")
	errGSOChecksum = errors.New("gso: a super-packet must need its checksum completed")
)

// ParseVnet fills p from the header h and the packet in p.Data. The header is not trusted: the
// kernel passes on what a program with a packet socket wrote into it, and its hdr_len is only a
// hint. Lengths come from the packet itself.
func ParseVnet(h []byte, p *Packet) error {
	p.GSO, p.SegSize, p.HdrLen = None, 0, 0
	p.NeedsChecksum, p.CsumStart, p.CsumOffset = h[0]&vnetNeedsCsum != 0, 0, 0
	if p.NeedsChecksum {
		p.CsumStart, p.CsumOffset = binary.NativeEndian.Uint16(h[6:]), binary.NativeEndian.Uint16(h[8:])
		if int(p.CsumStart)+int(p.CsumOffset)+2 > len(p.Data) {
			return errMalformed
		}
	}
	kind := h[1] &^ vnetGSOECN
	if kind == vnetGSONone {
		return nil
	}
	var l4 layout
	if err := l4.parse(p.Data); err != nil {
		return err
	}
	switch {
	case kind == vnetGSOTCPv4 && !l4.v6 && l4.proto == protoTCP:
		p.GSO = TCPv4
	case kind == vnetGSOTCPv6 && l4.v6 && l4.proto == protoTCP:
		p.GSO = TCPv6
	case kind == vnetGSOUDPL4 && l4.proto == protoUDP:
		p.GSO = UDP
	default:
		return errUnknownGSO
	}
	if !p.NeedsChecksum || int(p.CsumStart) != l4.start || int(p.CsumOffset) != l4.csumOffset() {
		return errMalformed
	}
	p.SegSize, p.HdrLen = binary.NativeEndian.Uint16(h[4:]), uint16(l4.payload)
	if p.SegSize == 0 {
		return errMalformed
	}
	if len(p.Data)-l4.payload <= int(p.SegSize) { // a super-packet of one
		p.GSO, p.SegSize, p.HdrLen = None, 0, 0
	}
	return nil
}

// PutVnet writes the header that describes p to h.
func PutVnet(h []byte, p *Packet) error {
	clear(h[:VnetLen])
	if p.NeedsChecksum {
		h[0] = vnetNeedsCsum
		binary.NativeEndian.PutUint16(h[6:], p.CsumStart)
		binary.NativeEndian.PutUint16(h[8:], p.CsumOffset)
	}
	switch p.GSO {
	case None:
		return nil
	case TCPv4:
		h[1] = vnetGSOTCPv4
	case TCPv6:
		h[1] = vnetGSOTCPv6
	case UDP:
		h[1] = vnetGSOUDPL4
	default:
		return errUnknownGSO
	}
	if !p.NeedsChecksum {
		return errGSOChecksum
	}
	binary.NativeEndian.PutUint16(h[2:], p.HdrLen)
	binary.NativeEndian.PutUint16(h[4:], p.SegSize)
	return nil
}
