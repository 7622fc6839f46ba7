package ike

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"culvert/ike/budget"
	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A halfOpen is what a responder keeps of an IKE SA between IKE_SA_INIT and the end of IKE_AUTH. An
// ikeSA is made of it only when a whole message has come that its keys protect (promote), and if
// IKE_AUTH fails it keeps the answer. The fields and their order are chosen for their size.
type halfOpen struct {
	path       ipsec.Path    // of the request
	spi        wire.SPI      // ours
	since      time.Duration // when it began, or was refused, on the clock of halfOpens
	prev, next *halfOpen
	data       []byte        // see setRequest
	late       *lateHalfOpen // nil until there is a message that its keys may protect
	place      budget.Place

	request, public uint16 // lengths of parts of data
	choice, seed    uint8  // likewise
	said            initSaid
	able            abilities // that the response announces
	fragment        uint16    // size of fragments, if both sides support them, or 0
	announced       uint16    // what the response has of credentials: its place in sharedTexts
}

// A lateHalfOpen is what a half-open IKE SA needs once there is a message that its keys may
// protect.
type lateHalfOpen struct {
	keys saKeys                    // derived once; sa has them while there is one
	win  window.Window[ipsec.Path] // the fragments of the request, or the response that refuses it
	sa   *ikeSA                    // while the request is handled
}

// halfOpenLife is how long a responder waits for the end of IKE_AUTH, and how long it answers
// copies of a request that it refused.
const halfOpenLife = 30 * time.Second

// What is charged for a half-open IKE SA, in octets of memory: a halfOpen with its places in
// tables, a lateHalfOpen with a response, keys with their ciphers, and an ikeSA.
const (
	octetsOfHalfOpen = 256
	octetsOfLate     = 768
	octetsOfKeys     = 2560
	octetsOfSA       = 8 << 10
)

// octets returns the octets of memory that a half-open IKE SA takes.
func (h *halfOpen) octets() int {
	n := octetsOfHalfOpen + cap(h.data)
	if h.late != nil {
		n += octetsOfLate + h.late.win.Fragments(wire.Header{}).Octets()
		switch sa := h.late.sa; {
		case sa != nil:
			n += octetsOfSA + sa.win.Fragments(wire.Header{}).Octets()
			if sa.setup != nil {
				n += len(sa.setup.request)
			}
		case !h.refused():
			n += octetsOfKeys
		}
	}
	return n
}

// refused reports whether IKE_AUTH failed.
func (h *halfOpen) refused() bool { return h.late != nil && h.late.win.HasResponse() }

// halfOpens holds the half-open IKE SAs of an engine, and what each address is charged for them.
type halfOpens struct {
	e           *Engine
	bySPI       map[wire.SPI]*halfOpen
	first, last *halfOpen // in the order of since
	due         timer.Timer
	clock       time.Time // since is counted from here
	secrets     secrets   // of spisFor
	announced   sharedTexts
	begin       func() handshake
	budget.Newcomers
}

func newHalfOpens(e *Engine, now time.Time) *halfOpens {
	t := &halfOpens{e: e, bySPI: map[wire.SPI]*halfOpen{}, clock: now, begin: func() handshake { return &authHandshake{} }}
	t.due.Fire, t.secrets.rand = t.expire, e.cfg.Rand
	return t
}

// spisFor returns the SPI that an IKE_SA_INIT request gets from us, and the one that it got if it
// came before the secret changed: "a robust responder will do the IKE SA lookup using the whole
// packet, its hash, or the Ni payload" (RFC 7296, Section 2.1). They are keyed hashes of the whole
// packet, so that copies need no table of their own, and nobody else can choose an SPI. They cover
// the source address, so that a copy from another address does not get the response. The secret
// changes after halfOpenLife, so that a request that comes again after that gets another SPI.
func (t *halfOpens) spisFor(d Datagram) (now, before wire.SPI, err error) {
	if err := t.secrets.rotate(t.e.handling.now, halfOpenLife); err != nil {
		return 0, 0, err
	}
	h := sha256.New()
	addr, _ := d.Path.Remote().Addr().MarshalBinary()
	h.Write([]byte{byte(len(addr))})
	h.Write(addr)
	h.Write(d.Data)
	digest := h.Sum(nil)
	return keyedSPI(&t.secrets.current, digest), keyedSPI(&t.secrets.previous, digest), nil
}

// keyedSPI returns an SPI that is not zero. Its input is of fixed length, so that a hash will do as
// a MAC.
func keyedSPI(secret *[32]byte, digest []byte) wire.SPI {
	var b [2 * sha256.Size]byte
	copy(b[:], secret[:])
	copy(b[sha256.Size:], digest)
	sum := sha256.Sum256(b[:])
	return wire.SPI(max(binary.BigEndian.Uint64(sum[:]), 1))
}

// copied handles a copy of an IKE_SA_INIT request that got one of the SPIs, and reports whether it
// is one.
func (t *halfOpens) copied(d Datagram, spis ...wire.SPI) bool {
	for _, spi := range spis {
		h := t.bySPI[spi]
		if h == nil && t.e.sas.bySPI[spi] == nil {
			continue
		}
		t.e.count("ike_duplicate_request")
		if h != nil {
			t.again(h, d)
		}
		return true
	}
	return false
}

// again repeats the response to a copy of a request, if there is one and the peer has not gone on.
func (t *halfOpens) again(h *halfOpen, d Datagram) {
	if h.seed > 0 && !h.refused() && (h.late == nil || h.late.sa == nil) {
		t.e.transmit(d.Path, [][]byte{t.response(h)})
	}
}

// insert adds a half-open IKE SA, which is charged to its address.
func (t *halfOpens) insert(h *halfOpen) {
	t.bySPI[h.spi] = h
	h.place = t.Add(h.path.Remote().Addr(), h.octets())
	t.enqueue(h)
}

// enqueue begins the life of a half-open IKE SA. All lives are of equal length, so the one that
// ends first is the first.
func (t *halfOpens) enqueue(h *halfOpen) {
	h.since = t.e.handling.now.Sub(t.clock)
	h.prev, h.next = t.last, nil
	if t.last == nil {
		t.first = h
	} else {
		t.last.next = h
	}
	t.last = h
	t.schedule()
}

func (t *halfOpens) dequeue(h *halfOpen) {
	if h.prev == nil {
		t.first = h.next
	} else {
		h.prev.next = h.next
	}
	if h.next == nil {
		t.last = h.prev
	} else {
		h.next.prev = h.prev
	}
	h.prev, h.next = nil, nil
	t.schedule()
}

// schedule sets the timer to the end of the life that ends first.
func (t *halfOpens) schedule() {
	if t.first == nil {
		t.e.timers.Stop(&t.due)
		return
	}
	t.e.timers.Set(&t.due, t.end(t.first))
}

// end returns when the life of a half-open IKE SA ends.
func (t *halfOpens) end(h *halfOpen) time.Time { return t.clock.Add(h.since + halfOpenLife) }

// remove removes a half-open IKE SA, clears its keys, and ends its charge.
func (t *halfOpens) remove(h *halfOpen) {
	if t.bySPI[h.spi] != h {
		return
	}
	delete(t.bySPI, h.spi)
	t.dequeue(h)
	t.Remove(h.path.Remote().Addr(), &h.place)
	t.announced.release(h.announced)
	clear(h.skeyseed())
	if h.late != nil {
		h.late.keys.forget()
	}
}

// maxExpired bounds the half-open IKE SAs that end in one Handle.
const maxExpired = 64

// expire removes the half-open IKE SAs whose time is up.
func (t *halfOpens) expire() {
	for n := 0; n < maxExpired && t.first != nil && !t.end(t.first).After(t.e.handling.now); n++ {
		h := t.first
		if !h.refused() {
			t.e.count("ike_half_open_expired")
		}
		t.drop(h)
	}
	t.schedule()
}

// drop removes a half-open IKE SA, with the ikeSA that was made of it.
func (t *halfOpens) drop(h *halfOpen) {
	if h.late != nil && h.late.sa != nil {
		h.late.sa.remove()
	}
	t.remove(h)
}

// dropAll removes all half-open IKE SAs.
func (t *halfOpens) dropAll() {
	for t.first != nil {
		t.drop(t.first)
	}
}

// hold charges for what a half-open IKE SA now takes. It reports false if that is too much.
func (t *halfOpens) hold(h *halfOpen) bool {
	from := h.path.Remote().Addr()
	return t.Hold(from, &h.place, h.octets(), t.e.peers.configured(from))
}

// refuse keeps the answer that ended an ikeSA before it was established, for copies of the request.
func (t *halfOpens) refuse(s *ikeSA) {
	h := s.half
	s.half = nil
	h.late.sa, h.late.win = nil, s.win
	t.dequeue(h)
	t.enqueue(h)
	t.hold(h)
}
