package ike

import (
	"slices"

	"culvert/ike/wire"
)

// reassembly collects the fragments of one message (RFC 7383, Section 2.6). Each is authenticated before it comes here, so that only the peer can fill it; and
// what it can fill is bounded all the same.
type reassembly struct {
	total uint16
	first wire.PayloadType // of fragment 1
	have  uint16
	size  int
	parts [][]byte
	head  [32]byte // digest of fragment 1, by which a copy of the request is known
}

const (
	// maxFragments and maxReassembled bound one message. A certificate chain needs about ten fragments.
	maxFragments   = 128
	maxReassembled = 64 << 10
)

func (r *reassembly) reset() { *r = reassembly{} }

// wants reports, before the costly opening, whether a fragment can be of use. One that has more
// Total Fragments than those before replaces them, because the sender has fragmented the message
// again; one that has less comes late and is dropped (RFC 7383, Section 2.6).
func (r *reassembly) wants(f *wire.EncryptedFragment) bool {
	if f.Number == 0 || f.Number > f.Total || f.Total > maxFragments || f.Total < r.total {
		return false
	}
	return f.Total > r.total || r.parts[f.Number-1] == nil
}

// add takes the content of an authentic fragment that is wanted, and returns the whole once it is there.
func (r *reassembly) add(f *wire.EncryptedFragment, plain []byte, digest [32]byte) (whole []byte, done bool) {
	if f.Total > r.total {
		*r = reassembly{total: f.Total, parts: make([][]byte, f.Total)}
	}
	if r.size+len(plain) > maxReassembled {
		r.reset()
		return nil, false
	}
	if f.Number == 1 {
		r.first, r.head = f.First, digest
	}
	r.parts[f.Number-1] = append(make([]byte, 0, len(plain)), plain...) // never nil
	r.have++
	r.size += len(plain)
	if r.have < r.total {
		return nil, false
	}
	return slices.Concat(r.parts...), true
}
