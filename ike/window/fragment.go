package window

import (
	"crypto/sha256"
	"slices"

	"culvert/ike/wire"
)

// A Reassembly collects the fragments of one message (RFC 7383, Section 2.6). The zero value is
// empty. Fragments are authenticated before they are added, so that only the peer can fill it, and
// what it holds is bounded.
type Reassembly struct {
	total uint16
	first wire.PayloadType // of fragment 1
	have  uint16
	size  int
	parts [][]byte
	head  [sha256.Size]byte // digest of fragment 1
}

// A Message is the content of a message that came in fragments.
type Message struct {
	First  wire.PayloadType // the type of its first payload
	Plain  []byte
	Digest [sha256.Size]byte // of its first fragment, by which a copy is known
}

// Bounds of one message. A certificate chain needs about ten fragments.
const (
	MaxFragments   = 128
	MaxReassembled = 64 << 10
)

// Reset drops the fragments.
func (r *Reassembly) Reset() { *r = Reassembly{} }

// Held returns the octets that are held.
func (r *Reassembly) Held() int { return r.size }

// partOverhead is what a part takes beyond its octets: a slice header, and what is rounded up.
const partOverhead = 24 + 8

// Octets returns the octets of memory that the fragments take, with those that are still missing.
func (r *Reassembly) Octets() int { return r.size + r.size/8 + len(r.parts)*partOverhead }

// Wants reports, before the costly opening, whether a fragment can be of use. One that has more
// Total Fragments than those before replaces them, because the sender has fragmented the message
// again; one that has less comes late and is dropped (RFC 7383, Section 2.6).
func (r *Reassembly) Wants(f *wire.EncryptedFragment) bool {
	if f.Number == 0 || f.Number > f.Total || f.Total > MaxFragments || f.Total < r.total {
		return false
	}
	return f.Total > r.total || r.parts[f.Number-1] == nil
}

// Add takes a copy of the content of an authentic fragment that is wanted; digest is of its
// datagram. It returns the message and is empty again once that is complete. A message of more than
// limit octets is dropped.
func (r *Reassembly) Add(f *wire.EncryptedFragment, plain []byte, digest [sha256.Size]byte, limit int) (m Message, complete bool) {
	if f.Total > r.total {
		*r = Reassembly{total: f.Total, parts: make([][]byte, f.Total)}
	}
	if r.size+len(plain) > limit {
		r.Reset()
		return Message{}, false
	}
	if f.Number == 1 {
		r.first, r.head = f.First, digest
	}
	r.parts[f.Number-1] = append(make([]byte, 0, len(plain)), plain...) // never nil
	r.have++
	r.size += len(plain)
	if r.have < r.total {
		return Message{}, false
	}
	m = Message{First: r.first, Plain: slices.Concat(r.parts...), Digest: r.head}
	r.Reset()
	return m, true
}
