package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// maxVerified bounds the chains that a Trust remembers, of about 150 octets each.
const maxVerified = 4096

// A verified is the memory of chains whose signatures and constraints hold: a peer that comes back
// with the same certificates is not verified by them again. Whether its AUTH is right, and whether
// a certificate was revoked, is judged apart from it and each time. The zero value is empty. It may
// be used by several goroutines at a time.
type verified struct {
	mu    sync.Mutex
	known map[digest]way
	order []digest // of known, as a ring: the next one to be replaced is at next
	next  int
}

// A digest is a hash of what a peer sent: its leaf and all other certificates, in order.
type digest [sha256.Size]byte

// A way is a chain from the leaf of what was sent to an authority, and when all of it is valid.
type way struct {
	from, to time.Time
	above    []int8 // the index of each certificate above the leaf: of those sent, or -1 and that of the authority
	top      int    // the authority's index
}

// digestOf returns the digest of what was sent.
func digestOf(s *Sent) (d digest) {
	h := sha256.New()
	var length [4]byte
	for _, c := range append([]*x509.Certificate{s.Leaf}, s.Intermediates...) {
		binary.BigEndian.PutUint32(length[:], uint32(len(c.Raw)))
		h.Write(length[:])
		h.Write(c.Raw)
	}
	h.Sum(d[:0])
	return d
}

// find returns the chain of what was sent, if it is known and valid at the time, or nil.
func (v *verified) find(d digest, s *Sent, cas []*x509.Certificate, now time.Time) []*x509.Certificate {
	v.mu.Lock()
	w, ok := v.known[d]
	v.mu.Unlock()
	if !ok || now.Before(w.from) || now.After(w.to) {
		return nil
	}
	chain := []*x509.Certificate{understood(s.Leaf)}
	for _, at := range w.above {
		c := cas[w.top]
		if at >= 0 {
			c = s.Intermediates[at]
		}
		chain = append(chain, understood(c))
	}
	return chain
}

// add remembers a chain of what was sent, in place of the oldest one if there are many.
func (v *verified) add(d digest, s *Sent, cas, chain []*x509.Certificate) {
	w := way{from: chain[0].NotBefore, to: chain[0].NotAfter}
	for i, c := range chain[1:] {
		at := index(s.Intermediates, c)
		if top := i+2 == len(chain); top {
			if at, w.top = -1, index(cas, c); w.top < 0 {
				return
			}
		} else if at < 0 {
			return // an authority below another one: rare
		}
		w.above = append(w.above, int8(at))
		if c.NotBefore.After(w.from) {
			w.from = c.NotBefore
		}
		if c.NotAfter.Before(w.to) {
			w.to = c.NotAfter
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.known[d]; !ok {
		if v.known == nil {
			v.known = map[digest]way{}
		}
		if len(v.order) < maxVerified {
			v.order = append(v.order, d)
		} else {
			delete(v.known, v.order[v.next])
			v.order[v.next] = d
			v.next = (v.next + 1) % maxVerified
		}
	}
	v.known[d] = w
}

// index returns the index of a certificate, or -1.
func index(list []*x509.Certificate, c *x509.Certificate) int {
	return slices.IndexFunc(list, c.Equal)
}
