package ike

import (
	"fmt"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// explainIdentities returns both configured identities, for operators.
func (p *profile) explainIdentities() []string {
	return []string{"ours: " + p.cfg.LocalID.String(), "expected of the peer: " + p.cfg.RemoteID.String()}
}

// reject ends an attempt because the responder is not who it should be, and tells it so in an
// INFORMATIONAL exchange (RFC 7296, Section 2.21.2). What it says of itself in its payloads is kept
// with the reason.
func (x *authExchange) reject(s *ikeSA, why string, ps []wire.Payload) {
	s.e.count("ike_authentication_failed")
	s.notice(Warn, eventAuthFailed, why)
	s.tellFailed(x, why, append(s.party.explainIdentities(), certificate.Describe(ps)...), &wire.Notify{Kind: wire.AuthenticationFailed})
}

// tellFailed ends an attempt after the response to IKE_AUTH. The responder has the IKE SA by then,
// and perhaps a Child SA, and is told to delete them. Another attempt does not wait for that.
func (s *ikeSA) tellFailed(x exchange, why string, explain []string, tell wire.Payload) {
	x.abandon(s, why)
	s.party.tryFailed(why, explain, time.Time{})
	s.moveTo(saClosing)
	s.run(&informational{kind: askClose, payloads: []wire.Payload{tell}, cause: child.EndFailed, why: why})
}

// withdraw gives up the policy of the exchange, but waits for the response.
func (x *authExchange) withdraw(s *ikeSA, why string) {
	x.abandon(s, why)
	x.child = nil
}

// setupFailed ends an attempt of ours. unanswered means that the peer never responded.
func (s *ikeSA) setupFailed(why string, explain []string, unanswered bool) {
	p := s.party
	if p != nil && len(p.cfg.Remote) > 1 {
		why = s.net.Remote().Addr().String() + ": " + why
	}
	s.abandonWork(why)
	s.remove()
	if p == nil {
		return
	}
	var asked time.Time
	if unanswered {
		asked = s.live.LastSent()
	}
	p.tryFailed(why, explain, asked)
}

// unanswered ends an IKE SA whose request has had its last retransmission.
func (s *ikeSA) unanswered(r *window.Request) {
	switch s.state {
	case saConnecting, saAuthenticating:
		if s.setup.lost {
			s.beginAgain(s.setup.refusal.Reason)
			return
		}
		why, explain := join(fmt.Sprintf("no answer to %v from %s", r.Exchange, s.net.Remote()), s.party.obstacleText()), []string(nil)
		if s.setup.refusal.Reason != "" {
			why, explain = s.setup.refusal.Reason, s.setup.refusal.Explain
		} else {
			s.party.try.unanswered = s.party.try.unanswered.with(s.asked(r))
		}
		s.setupFailed(why, explain, s.setup.refusal.Reason == "")
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
