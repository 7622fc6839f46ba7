package ike

import (
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// Facts is what the state of a peer does not tell and a diagnosis needs: what was asked of it and
// not answered, when it was heard, and who began to connect from its addresses. It is a part of
// PeerStatus.
type Facts struct {
	Asked Asked // what the peer has not answered; zero: nothing
	// Heard is when something authentic last came on the IKE SA that the status shows; zero: there
	// is none that is authenticated.
	Heard time.Time
	// Wanted reports that the peer is to be up: a child of it is to be, or traffic asked for one.
	Wanted bool
	// Calls reports that we connect to the peer: an address of it is configured, or found.
	Calls bool
	Begun Begun // of a peer that is not connected
	// Failed is why the last attempt failed, the last IKE SA ended, or a call from the peer's
	// addresses was refused.
	Failed string
	// ESPBlocked reports that ESP was found to arrive neither in UDP nor as IP protocol 50, while
	// the peer answers IKE.
	ESPBlocked bool
}

// Asked is a request that was not answered. Attempts to connect in a row, none of which was
// answered, count together.
type Asked struct {
	Exchange wire.ExchangeType
	To       netip.AddrPort
	Since    time.Time // when it was first sent
	Times    int       // how often it was sent since then; 0: there is none
	// PortChanged reports that the peer answered IKE_SA_INIT at its IKE port, and that this goes to
	// its NAT port (RFC 7296, Section 2.23).
	PortChanged bool
}

// Begun is what came from the addresses of a peer: requests of IKE_SA_INIT that were answered, and
// no IKE_AUTH after them. Anybody can have sent them.
type Begun struct {
	Times int
	Since time.Time // of the oldest; zero: there are none
}

// maxAskedAgain is how often a request is sent before it is shown in place of one of an earlier
// attempt, which got further: IKE_SA_INIT is usually answered where IKE_AUTH was not.
const maxAskedAgain = 2

// facts returns the facts about the party. s is the IKE SA that its status shows, or nil.
func (p *party) facts(s *ikeSA) Facts {
	f := Facts{Calls: p.canConnect(), ESPBlocked: p.memory.blocked, Asked: p.try.unanswered}
	f.Failed = join(p.Reason, p.calls.Reason)
	f.Wanted = slices.ContainsFunc(p.policies, (*child.Policy).Wanted)
	switch {
	case s == nil:
	case s.connecting() && s.setup.refusal.Cause == "":
		f.Asked = f.Asked.with(s.asked(s.win.Outstanding()))
	case s.connecting():
		f.Asked, f.Failed = Asked{}, s.setup.refusal.Trouble().Reason
	default:
		f.Heard = s.live.LastReceived()
		if f.Asked = s.asked(s.win.Outstanding()); f.Asked.Times < 2 {
			f.Asked = Asked{} // an answer may be on its way
		}
	}
	if s == nil || s.connecting() {
		f.Begun = p.e.sas.halfOpen.begunFrom(p.cfg.Remote)
	}
	return f
}

// asked returns what an IKE SA asks, or asked last, by a request; zero without one.
func (s *ikeSA) asked(r *window.Request) Asked {
	if r == nil {
		return Asked{}
	}
	a := Asked{Exchange: r.Exchange, To: s.net.Remote(), Since: s.live.asked, Times: r.Repeated + 1}
	if p := s.party; p != nil && s.state == saAuthenticating {
		a.PortChanged = s.net.Remote().Port() == p.cfg.RemoteNATPort && p.cfg.RemotePort != p.cfg.RemoteNATPort
	}
	return a
}

// with returns what was not answered after an attempt, or now during one, beside what was not in
// those before.
func (a Asked) with(now Asked) Asked {
	switch {
	case a.Times == 0 || now.Times == 0:
		if now.Times == 0 {
			return a
		}
		return now
	case a.Exchange != now.Exchange && now.Exchange == wire.IKESAInit && now.Times <= maxAskedAgain:
		return a
	case a.Exchange != now.Exchange:
		return now
	}
	now.Since, now.Times = a.Since, a.Times+now.Times
	return now
}

// maxBegunSeen bounds the half-open IKE SAs that are looked at for one status.
const maxBegunSeen = 1024

// begunFrom returns which half-open IKE SAs were begun from a peer's addresses and have not gone
// on. It looks at no list unless one of the addresses is charged for some.
func (t *halfOpens) begunFrom(addrs []netip.Addr) (b Begun) {
	if !slices.ContainsFunc(addrs, t.Charged) {
		return Begun{}
	}
	seen := 0
	for h := t.first; h != nil && seen < maxBegunSeen; h, seen = h.next, seen+1 {
		if h.late != nil || !slices.Contains(addrs, h.path.Remote().Addr()) {
			continue
		}
		if b.Times++; b.Times == 1 {
			b.Since = t.clock.Add(h.since)
		}
	}
	return b
}
