package ike

import (
	"crypto/sha256"
	"math"
	"time"

	"culvert/ike/wire"
)

// window keeps the message IDs of one IKE SA, the request that waits for its response, and the last response given. Its size is one in both
// directions (RFC 7296, Sections 2.1 to 2.3). No exchange sees it.
type window struct {
	next       uint32 // the ID of our next request
	out        *request
	retransmit timer
	expected   uint32 // the ID of the peer's next request
	last       reply  // to its request expected-1
	requests   reassembly
	responses  reassembly
}

// request is a request of ours that waits for its response.
type request struct {
	id        uint32
	exchange  wire.ExchangeType
	datagrams [][]byte
	sent      int // times it was sent again
}

// reply is what became of the peer's last request.
type reply struct {
	from      path     // where the request came from, and the response goes to
	digest    [32]byte // of its datagram, or of its first fragment
	exchange  wire.ExchangeType
	pending   bool     // the response waits for a computation
	datagrams [][]byte // the response; nil: none yet
	strays    int      // copies answered to other addresses
}

// maxStrays bounds how often a copied request is answered to an address that is not the request's own: a NAT may have changed
// the port, but nobody is to have a stranger flooded with our answers (RFC 7296, Sections 2.11 and 2.23).
const maxStrays = 8

func (w *window) hasAnswer() bool { return w.last.datagrams != nil }

// Message IDs do not wrap: "In the unlikely event that Message IDs grow too large to fit in 32 bits, the IKE SA MUST be closed or rekeyed" (RFC 7296, Section 2.2). It is
// rekeyed halfway, and the last ID is never used.
const (
	rekeyID = 1 << 31
	lastID  = math.MaxUint32
)

// rekeyBeforeIDsRunOut rekeys the IKE SA when many IDs are used up.
func (s *ikeSA) rekeyBeforeIDsRunOut() {
	if s.state == saEstablished && max(s.win.next, s.win.expected) >= rekeyID {
		s.rekeyDue()
	}
}

// ask sends a request of the SA's current exchange.
func (s *ikeSA) ask(ex wire.ExchangeType, ps []wire.Payload) {
	if s.win.next == lastID {
		s.cannotSend("the message IDs are used up")
		return
	}
	datagrams, err := s.seal(ex, false, s.win.next, ps)
	if err != nil {
		s.cannotSend("a request could not be protected: " + err.Error())
		return
	}
	s.askRaw(ex, datagrams)
}

// cannotSend ends an IKE SA on which nothing can be said any more, not even that it ends: the keys are used up, or there is no randomness.
func (s *ikeSA) cannotSend(why string) {
	if s.state < saEstablished {
		s.fail(why)
		return
	}
	s.notice(Warn, "ike-error", why)
	s.end(endFailed, why)
}

// askRaw sends the datagrams of a request, first or again, and starts to wait for its response.
func (s *ikeSA) askRaw(ex wire.ExchangeType, datagrams [][]byte) {
	s.win.out = &request{id: s.win.next, exchange: ex, datagrams: datagrams}
	s.sendRequest()
}

// sendRequest sends the outstanding request, and waits for its response.
func (s *ikeSA) sendRequest() {
	r, as := s.win.out, Send{}
	if x, ok := s.work.current.(prober); ok {
		as.FragmentSize = x.inParts(s, r.sent)
	}
	s.emitRequest(as)
	s.e.after(&s.win.retransmit, s.pause(r.sent))
}

// emitRequest sends the outstanding request to the peer, carried by IP as the Send says.
func (s *ikeSA) emitRequest(as Send) {
	as.Local, as.Remote, as.NATPort = s.net.local, s.net.remote, s.net.natPort
	for _, data := range s.win.out.datagrams {
		as.Data = data
		s.e.emit(as)
	}
	s.noteSent()
}

// retransmit sends the outstanding request again, bit by bit the same, or gives the SA up: "the initiator MUST retransmit a request until it
// either receives a corresponding response or deems the IKE SA to have failed" (RFC 7296, Section 2.1).
func (s *ikeSA) retransmit() {
	r := s.win.out
	if r == nil {
		return
	}
	if x, ok := s.work.current.(prober); ok && x.unanswered(s) {
		return
	}
	if (r.sent > 0 || !s.net.local.Addr().IsValid()) && s.roam() {
		return // sent again from another address, or over: a host need not tell us of its addresses
	}
	if r.sent < s.tries() {
		r.sent++
	} else if !s.patient() {
		s.win.out = nil
		s.unanswered(r)
		return
	}
	s.e.count("ike_retransmitted")
	s.sendRequest()
}

// How often a request is sent again at most, where something else depends on it than the request alone.
const (
	manyAddressTries = 3 // IKE_SA_INIT to a peer that has other addresses to be tried
	doubtTries       = 4 // a probe of a peer that was silent, or anything to a peer that seems to have lost the IKE SA: about 22 s
)

// pause is the time to wait for a response after so many retransmissions. While we stop there is little of it.
func (s *ikeSA) pause(sent int) time.Duration {
	if s.e.stopping {
		return shutdownRetry.pause(sent, s.e.cfg.Rand)
	}
	if s.moving() {
		return moveRetry.pause(sent, s.e.cfg.Rand)
	}
	return s.e.cfg.Retry.pause(sent, s.e.cfg.Rand)
}

// moving reports whether we wait for the peer's answer from a new address, and can do without it.
func (s *ikeSA) moving() bool { return s.net.unsaid && s.state == saEstablished && s.canReconnect() }

// tries is how often a request may be sent again.
func (s *ikeSA) tries() int {
	if s.state == saConnecting && len(s.peer.cfg.Remote) > 1 {
		return min(manyAddressTries, s.e.cfg.Retry.Tries)
	}
	if s.moving() {
		return moveRetry.Tries
	}
	probe, ok := s.work.current.(*informational)
	_, path := s.work.current.(prober)
	if s.live.doubt || path || ok && probe.kind == askAlive {
		return min(doubtTries, s.e.cfg.Retry.Tries)
	}
	return s.e.cfg.Retry.Tries
}

// answered takes the outstanding request out of the window: its response came.
func (s *ikeSA) answered() {
	s.win.out = nil
	s.win.responses.reset()
	s.e.timers.stop(&s.win.retransmit)
	s.win.next++
}

// inWindow says whether a message may be opened: a response to the outstanding request, or the peer's next request. The copy of the request before is answered as that
// one was, byte by byte.
func (s *ikeSA) inWindow(d Datagram, h wire.Header) bool {
	if h.Response {
		r := s.win.out
		if r == nil || h.MessageID != r.id || h.Exchange != r.exchange {
			s.e.count("ike_stale_response")
			return false
		}
		return true
	}
	switch {
	case h.MessageID == lastID:
	case h.MessageID == s.win.expected && s.win.last.pending:
		// "An IKE endpoint MUST NOT exceed the peer's stated window size for transmitted IKE requests" (Section 2.3): it has no answer to the last one yet, so this one waits.
		s.e.count("ike_outside_window")
		return false
	case h.MessageID == s.win.expected:
		return s.state < saDead
	case h.MessageID == s.win.expected-1:
		return s.copyOfLast(d, h)
	}
	s.e.count("ike_message_id")
	return false
}

// copyOfLast answers a copy of the peer's last request. One with another digest may be the same request in other fragments (RFC 7383, Section 2.5.2);
// only its opening can tell (true).
func (s *ikeSA) copyOfLast(d Datagram, h wire.Header) bool {
	last := &s.win.last
	if h.MessageID != s.win.expected-1 || h.Exchange != last.exchange {
		s.e.count("ike_message_id")
		return false
	}
	if sha256.Sum256(d.Data) != last.digest {
		return h.NextPayload == wire.PayloadSKF
	}
	s.e.count("ike_duplicate_request")
	s.repeatAnswer(pathOf(d))
	return false
}

// repeatAnswer sends the cached response again.
func (s *ikeSA) repeatAnswer(to path) {
	last := &s.win.last
	if to != last.from && to != s.net.path {
		if last.strays == maxStrays {
			return
		}
		last.strays++
	}
	s.e.transmit(to, last.datagrams)
}

// accept notes that the peer's next request, just opened, is being answered.
func (s *ikeSA) accept(d Datagram, digest [32]byte, ex wire.ExchangeType) {
	s.win.expected++
	s.win.requests.reset()
	s.win.last = reply{from: pathOf(d), digest: digest, exchange: ex, pending: true}
}

// answer sends and caches the response to the peer's last request.
func (s *ikeSA) answer(ps []wire.Payload) {
	last := &s.win.last
	datagrams, err := s.seal(last.exchange, true, s.win.expected-1, ps)
	if err != nil {
		s.cannotSend("a response could not be protected: " + err.Error())
		return
	}
	s.answerRaw(datagrams)
}

func (s *ikeSA) answerRaw(datagrams [][]byte) {
	s.win.last.pending = false
	s.win.last.datagrams = datagrams
	s.e.transmit(s.win.last.from, datagrams)
	s.noteSent()
}
