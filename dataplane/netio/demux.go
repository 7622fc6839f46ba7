package netio

import (
	"encoding/binary"
	"net/netip"
)

const (
	// markerLen is the length of the non-ESP marker, four zero octets in place of ESP's SPI (RFC
	// 3948, Section 2.2).
	markerLen = 4
	// spiLen is the length of an SPI: a shorter datagram on the NAT port is neither ESP nor IKE.
	spiLen = 4
)

// classify returns the kind of a datagram on the NAT port.
func classify(b []byte) Kind {
	switch {
	case len(b) < spiLen: // a keepalive is one octet 0xFF (RFC 3948, Section 2.3); other short datagrams are junk
		return Keepalive
	case binary.BigEndian.Uint32(b) == 0:
		return IKE
	}
	return ESP
}

// received holds the control messages of one datagram, as far as the system provides them.
type received struct {
	local   netip.Addr
	tos     uint8
	segSize int    // of coalesced datagrams
	drops   uint32 // by the kernel since the socket was opened
}

// A run is the undelivered rest of a coalesced run: from holds its addresses, and data is cut every
// size octets.
type run struct {
	from Received // Path and TOS
	data []byte
	size int // 0: a single datagram
}

// next removes the leading datagrams of one kind from r and describes them in in. The kernel
// coalesces by flow and size alone, so a run may mix ESP, IKE and keepalives. ESP is delivered in
// runs as long as possible, everything else one by one.
func (r *run) next(in *Received) {
	*in = r.from
	first := r.data
	if r.size > 0 && len(first) > r.size {
		first = first[:r.size]
	}
	in.Kind = classify(first)
	n := len(first)
	if in.Kind == ESP && r.size > 0 {
		for n < len(r.data) && classify(r.data[n:min(n+r.size, len(r.data))]) == ESP {
			n = min(n+r.size, len(r.data))
		}
	}
	in.Data, in.SegSize = r.data[:n], 0
	if n > len(first) {
		in.SegSize = r.size
	}
	if in.Kind == IKE {
		in.Data = in.Data[markerLen:]
	}
	r.data = r.data[n:]
}
