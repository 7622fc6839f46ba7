// Package window is the message window of an IKE SA: the message IDs of both directions, the
// request that waits for its response, the response that is repeated to a copied request, and the
// fragments of messages that are not complete (RFC 7296, Sections 2.1 to 2.3; RFC 7383). Its size
// is one in both directions.
//
// A Window works on datagrams. It knows no exchange, no key and no clock: its owner authenticates
// what Judge lets in before anything else is called, and waits for the pauses of a RetransmitPlan.
package window

import (
	"crypto/sha256"
	"math"

	"culvert/ike/wire"
)

// Message IDs do not wrap: "In the unlikely event that Message IDs grow too large to fit in 32
// bits, the IKE SA MUST be closed or rekeyed" (RFC 7296, Section 2.2). The last ID is never used.
const (
	wornID = 1 << 31
	lastID = math.MaxUint32
)

// MaxStrays bounds the copies of one request that are answered to other addresses than the
// request's own: a NAT may have changed the port, but a stranger must not be flooded with our
// answers (RFC 7296, Sections 2.11 and 2.23).
const MaxStrays = 8

// A Window holds the state of one IKE SA. Path is where messages go and come from. The zero value
// is that of an IKE SA without messages. It is not safe for concurrent use.
type Window[Path comparable] struct {
	next      uint32 // the ID of our next request
	out       *Request
	expected  uint32 // the ID of the peer's next request
	last      reply[Path]
	requests  Reassembly
	responses Reassembly
}

// A Request is a request of ours that waits for its response.
type Request struct {
	ID        uint32
	Exchange  wire.ExchangeType
	Datagrams [][]byte // they do not change: a repetition is octet by octet the same
	Repeated  int
}

// reply is what became of the peer's last request, which had the ID before the expected one.
type reply[Path comparable] struct {
	from      Path
	digest    [sha256.Size]byte // of its datagram, or of its first fragment
	exchange  wire.ExchangeType
	pending   bool     // it is not answered yet
	datagrams [][]byte // the response; nil: none
	strays    int      // copies answered to other addresses
}

// NextID returns the ID of our next request. It reports false when all IDs are used up.
func (w *Window[Path]) NextID() (id uint32, ok bool) { return w.next, w.next != lastID }

// ExpectedID returns the ID of the peer's next request.
func (w *Window[Path]) ExpectedID() uint32 { return w.expected }

// Worn reports whether the IKE SA has to be rekeyed because its IDs run out.
func (w *Window[Path]) Worn() bool { return max(w.next, w.expected) >= wornID }

// Send makes the datagrams of a request, which has the next ID, the outstanding one. The datagrams
// are the window's from then on.
func (w *Window[Path]) Send(ex wire.ExchangeType, datagrams [][]byte) *Request {
	w.out = &Request{ID: w.next, Exchange: ex, Datagrams: datagrams}
	return w.out
}

// Outstanding returns the request that waits for its response, or nil.
func (w *Window[Path]) Outstanding() *Request { return w.out }

// Withdraw ends the waiting for a response. The ID stays unused.
func (w *Window[Path]) Withdraw() { w.out = nil }

// Answered takes the outstanding request out of the window: its response has come.
func (w *Window[Path]) Answered() {
	w.out = nil
	w.responses.Reset()
	w.next++
}

// A Verdict is what a message is to the window, before it is authenticated.
type Verdict uint8

const (
	// UnknownID is a request with an ID that is neither the expected one nor the one before.
	UnknownID Verdict = iota
	// Stale is a response for which no request waits.
	Stale
	// Early is the next request while the last one is not answered: "An IKE endpoint MUST NOT
	// exceed the peer's stated window size for transmitted IKE requests" (RFC 7296, Section 2.3).
	Early
	// Response is the response to the outstanding request, if it is authentic.
	Response
	// Next is the peer's next request, if it is authentic.
	Next
	// Copy is the last request once more: Repeat has its answer.
	Copy
	// Refragmented may be the last request in other fragments (RFC 7383, Section 2.6.1). If it is
	// an authentic first fragment it is a Copy.
	Refragmented
)

// Judge returns what a datagram with the header h is to the window. It changes nothing.
func (w *Window[Path]) Judge(h wire.Header, data []byte) Verdict {
	switch {
	case h.Response && (w.out == nil || h.MessageID != w.out.ID || h.Exchange != w.out.Exchange):
		return Stale
	case h.Response:
		return Response
	case h.MessageID == lastID:
		return UnknownID
	case h.MessageID == w.expected && w.last.pending:
		return Early
	case h.MessageID == w.expected:
		return Next
	case !w.IsLast(h.MessageID) || h.Exchange != w.last.exchange:
		return UnknownID
	case sha256.Sum256(data) == w.last.digest:
		return Copy
	case h.NextPayload == wire.PayloadSKF:
		return Refragmented
	}
	return UnknownID
}

// IsLast reports whether an ID is that of the peer's last request.
func (w *Window[Path]) IsLast(id uint32) bool { return id == w.expected-1 }

// Accept notes that the peer's next request, just authenticated, is being answered. digest is of
// its datagram, or of its first fragment.
func (w *Window[Path]) Accept(from Path, digest [sha256.Size]byte, ex wire.ExchangeType) {
	w.expected++
	w.requests.Reset()
	w.last = reply[Path]{from: from, digest: digest, exchange: ex, pending: true}
}

// Begin notes that the first request of an IKE SA, which has the ID 0 and is not protected, was
// answered outside of the window.
func (w *Window[Path]) Begin() {
	w.expected = 1
	w.last = reply[Path]{exchange: wire.IKESAInit}
}

// Last returns where the peer's last request came from and its exchange.
func (w *Window[Path]) Last() (from Path, ex wire.ExchangeType) { return w.last.from, w.last.exchange }

// Pending reports whether the peer's last request waits for its response.
func (w *Window[Path]) Pending() bool { return w.last.pending }

// Respond keeps the response to the peer's last request, and returns where it goes. The datagrams
// are the window's from then on.
func (w *Window[Path]) Respond(datagrams [][]byte) Path {
	w.last.pending = false
	w.last.datagrams = datagrams
	return w.last.from
}

// HasResponse reports whether there is a response that a copied request would be answered with.
func (w *Window[Path]) HasResponse() bool { return w.last.datagrams != nil }

// Repeat returns the response to a copy of the last request that came from a path; nil: there is
// none yet, or enough copies from other paths than the request's own and the current one were
// answered.
func (w *Window[Path]) Repeat(from, current Path) [][]byte {
	if from != w.last.from && from != current {
		if w.last.strays == MaxStrays {
			return nil
		}
		w.last.strays++
	}
	return w.last.datagrams
}

// Fragments returns the incomplete message that a fragment with the header h belongs to. Judge must
// have let it in as Response or Next.
func (w *Window[Path]) Fragments(h wire.Header) *Reassembly {
	if h.Response {
		return &w.responses
	}
	return &w.requests
}

// State is what another process needs to go on with the window of an IKE SA (compare RFC 6311): the
// IDs. An outstanding request and the last response are lost.
type State struct{ Next, Expected uint32 }

// State returns the state of the window.
func (w *Window[Path]) State() State { return State{w.next, w.expected} }

// Restore puts back a state into the window, which must not have been used.
func (w *Window[Path]) Restore(s State) { w.next, w.expected = s.Next, s.Expected }
