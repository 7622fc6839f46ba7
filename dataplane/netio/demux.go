package netio

import (
	"encoding/binary"
	"net/netip"
)

const (
	// markerLen is the length of the non-ESP marker, four zero octets where ESP has its SPI (RFC 3948, Section 2.2).
	markerLen = 4
	// spiLen is the length of an SPI: whatever is shorter on the NAT port is no ESP and no IKE.
	spiLen = 4
)

// classify says what a datagram on the NAT port is.
func classify(b []byte) Kind {
	switch {
	case len(b) < spiLen: // a keepalive is one octet 0xFF (RFC 3948, Section 2.3); nothing so short is anything else
		return Keepalive
	case binary.BigEndian.Uint32(b) == 0:
		return IKE
	}
	return ESP
}

// received is what the control messages of one datagram say, as far as the system tells it.
type received struct {
	local   netip.Addr
	tos     uint8
	segSize int    // of coalesced datagrams
	drops   uint32 // by the kernel since the socket was opened
}

// run is what remains of a coalesced run of datagrams: Received tells of its addresses, data is cut every size octets.
type run struct {
	from Received // Local, Remote, Encap and TOS
	data []byte
	size int // 0: a single datagram
}

// next takes the leading datagrams of one kind off r and describes them in in. The kernel coalesces by flow and size alone, so that IKE
// and keepalives may sit among ESP. ESP comes as long a run as there is, anything else one by one.
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
