package dataplane

import (
	"encoding/binary"

	"culvert/dataplane/pmtu"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// Probes are dummy packets (RFC 4303, Section 2.6), which every receiver discards. A receiver that
// knows their format answers a request with another dummy packet, as small as possible. Both go
// through an SA, so that nobody else can ask or answer, and replays are discarded.
//
//	 0               8    9    10        12                20
//	+---------------+----+----+---------+-----------------+--------//--+
//	| "culvertP"    |kind| 0  | size    | ID              | zeros      |
//	+---------------+----+----+---------+-----------------+--------//--+
//
// Size is that of the whole outer packet of the request, or 0 for one that only asks whether
// packets arrive (ProbePair). An answer repeats size and ID and ends there.
const (
	dummyMagic = "culvertP"
	dummyLen   = 20

	dummyRequest = 1
	dummyAnswer  = 2
)

// A dummy is the content of such a packet.
type dummy struct {
	kind  uint8
	probe pmtu.Probe
}

// put writes d into b, which has at least dummyLen octets, and fills the rest with zeros.
func (d *dummy) put(b []byte) {
	clear(b)
	copy(b, dummyMagic)
	b[8] = d.kind
	binary.BigEndian.PutUint16(b[10:], uint16(d.probe.Size))
	binary.BigEndian.PutUint64(b[12:], d.probe.ID)
}

// parse reads b. It reports false for any other dummy packet.
func (d *dummy) parse(b []byte) bool {
	if len(b) < dummyLen || string(b[:8]) != dummyMagic || b[8] != dummyRequest && b[8] != dummyAnswer || b[9] != 0 {
		return false
	}
	d.kind = b[8]
	d.probe = pmtu.Probe{Size: int(binary.BigEndian.Uint16(b[10:])), ID: binary.BigEndian.Uint64(b[12:])}
	return true
}

// A receivedDummy is a dummy packet and the pair that it came on.
type receivedDummy struct {
	pair *pair
	dummy
}

// maxDummies bounds the dummy packets that wait for the control goroutine, and for a worker.
const maxDummies = 256

// A postedDummy is a dummy packet for a worker to send, of n octets before it is sealed, on a path
// of its own or, if that is nil, on that of the pair.
type postedDummy struct {
	pair *pair
	dummy
	n  int
	on *ipsec.Path
}

// takeDummy hands a dummy packet to the control goroutine if it is a probe, and drops it without
// room, like a loss on the path. Any other dummy packet is only counted.
func (r *rx) takeDummy(c *pair, data []byte) {
	d := receivedDummy{pair: c}
	if !d.parse(data) {
		r.drop(c, dropDummy)
		return
	}
	select {
	case r.plane.dummies <- d:
	default:
	}
}

// sendDummy seals and sends a dummy packet.
func (t *tx) sendDummy(p *postedDummy) {
	if p.pair.spent.Load() {
		return
	}
	inner := t.fragBuf[:p.n]
	p.put(inner)
	x := txPacket{sa: p.pair, wrap: wrap{next: esp.NextDummy, dummy: true}}
	t.out.on = p.on
	t.sealOne(&x, inner)
	t.out.on = nil
}
