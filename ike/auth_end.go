package ike

import (
	"fmt"
	"time"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// reject ends an attempt because the responder is not who it should be, and tells it so in an
// INFORMATIONAL exchange (RFC 7296, Section 2.21.2).
func (x *authExchange) reject(s *ikeSA, f reason.Facts) {
	s.e.count("ike_authentication_failed")
	t := f.Trouble()
	s.fails(eventAuthFailed, t)
	s.tellFailed(x, t, &wire.Notify{Kind: wire.AuthenticationFailed})
}

// tellFailed ends an attempt after the response to IKE_AUTH. The responder has the IKE SA by then,
// and perhaps a Child SA, and is told to delete them. Another attempt does not wait for that.
func (s *ikeSA) tellFailed(x exchange, t reason.Trouble, tell wire.Payload) {
	x.abandon(s, t.Reason)
	s.party.tryFailed(t, time.Time{})
	s.moveTo(saClosing)
	s.run(&informational{kind: askClose, payloads: []wire.Payload{tell}, cause: child.EndFailed, why: t.Reason})
}

// withdraw gives up the policy of the exchange, but waits for the response.
func (x *authExchange) withdraw(s *ikeSA, why string) {
	x.abandon(s, why)
	x.child = nil
}

// setupFailed ends an attempt of ours.
func (s *ikeSA) setupFailed(f reason.Facts) { s.setupFailedBy(f, false) }

// setupFailedBy is setupFailed; unanswered means that the peer never responded.
func (s *ikeSA) setupFailedBy(f reason.Facts, unanswered bool) {
	p := s.party
	if p != nil && len(p.cfg.Remote) > 1 {
		f.From = s.net.Remote().Addr().String()
	}
	t := f.Trouble()
	s.abandonWork(t.Reason)
	s.remove()
	if p == nil {
		return
	}
	var asked time.Time
	if unanswered {
		asked = s.live.LastSent()
	}
	p.tryFailed(t, asked)
}

// unanswered ends an IKE SA whose request has had its last retransmission.
func (s *ikeSA) unanswered(r *window.Request) {
	switch s.state {
	case saConnecting, saAuthenticating:
		if s.setup.lost {
			s.beginAgain(s.setup.refusal.Trouble().Reason)
			return
		}
		if s.setup.refusal.Cause != "" {
			s.setupFailed(s.setup.refusal)
			return
		}
		s.party.try.unanswered = s.party.try.unanswered.with(s.asked(r))
		s.setupFailedBy(reason.Facts{Cause: reason.NoAnswer, Why: join(fmt.Sprintf("no answer to %v from %s", r.Exchange, s.net.Remote()), s.party.obstacleText())}, true)
	case saClosing:
		s.end(child.EndLocal, "deleted; the peer did not answer")
	case saRekeyed:
		s.end(child.EndReplaced, "rekeyed; the peer did not answer the deletion")
	case saEstablished:
		if s.net.moving() {
			s.notice(Warn, "peer-silent", fmt.Sprintf("the peer does not answer %v from our new address", r.Exchange))
			s.end(child.EndMoved, "our address changed, and the peer does not answer")
			return
		}
		fallthrough
	default:
		s.e.count("ike_peer_dead")
		s.notice(Warn, "peer-dead", fmt.Sprintf("the peer no longer answers %v", r.Exchange))
		s.end(child.EndDead, "the peer does not answer")
	}
}
