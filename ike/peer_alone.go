package ike

import (
	"errors"
	"fmt"
	"slices"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/reason"
	"culvert/ike/wire"
)

// An operator may want the IKE SA with a peer and no child: it shows whether the two sides reach,
// accept and authenticate each other. That is an IKE SA without a Child SA (RFC 6023), which is
// left as it is until somebody closes it, and not made again when it ends.

// connectAlone brings up the IKE SA for a command.
func (p *party) connectAlone(ref uint64) {
	if !p.canConnect() && p.main() == nil {
		p.e.emit(Done{Ref: ref, Err: fmt.Errorf("peer %s is not connected, and no remote address is configured to connect to", identity.Quote(p.cfg.Name))})
		return
	}
	p.try.At = p.e.handling.now
	for _, s := range p.sas {
		s.askAtOnce()
	}
	p.waiters.add(&waiter{ref: ref, alone: true, e: p.e, met: func() bool { return p.main() != nil }})
	p.e.touch(p)
}

func (w *waiters) waitAlone() bool {
	return slices.ContainsFunc(w.list, func(n *waiter) bool { return n.alone })
}

// needless reports whether the IKE SA was made for no child and is not needed by one now: at its
// end no other takes its place.
func (s *ikeSA) needless() bool {
	return s.auth.alone && len(s.children.Pairs()) == 0 && !s.work.Busy() &&
		!slices.ContainsFunc(s.party.policies, func(pol *child.Policy) bool { return pol.Wanted() && !pol.Up() })
}

// failedAlone answers the commands that wait for the IKE SA alone.
func (w *waiters) failedAlone(err error) {
	w.list = slices.DeleteFunc(w.list, func(n *waiter) bool {
		if n.alone {
			n.e.emit(Done{Ref: n.ref, Err: err})
		}
		return n.alone
	})
}

// bringUpAlone starts an attempt to connect if a command waits for the IKE SA alone. It reports
// whether the party waits for its turn.
func (p *party) bringUpAlone() (waits bool) {
	if !p.waiters.waitAlone() || p.main() != nil || p.trying() || p.e.handling.now.Before(p.try.At) {
		return false
	}
	if !p.mayConnect(nil) {
		return true
	}
	if s := p.connect(nil, nil); s != nil {
		s.auth.alone = true
	}
	return false
}

// duePolicy returns a policy that has come to need the IKE SA, which was begun for none, or nil.
func (p *party) duePolicy() *child.Policy {
	if i := slices.IndexFunc(p.policies, (*child.Policy).Due); i >= 0 {
		return p.policies[i]
	}
	return nil
}

// AuthMethods are the methods by which the two sides of an IKE SA have proved who they are; 0: they
// have not.
type AuthMethods struct{ Ours, Theirs wire.AuthMethod }

// methodIn returns the authentication method of a message's AUTH payload.
func methodIn(ps []wire.Payload) wire.AuthMethod {
	if a, ok := wire.Find[*wire.Auth](ps); ok {
		return a.Method
	}
	return 0
}

// errAlone means that a peer makes no IKE SA without a Child SA.
var errAlone = errors.New("the peer answered IKE_SA_INIT, and makes no IKE SA without a Child SA: it does not announce CHILDLESS_IKEV2_SUPPORTED (RFC 6023); nothing was brought up")

// refuseAlone ends an attempt that is for no child, with a peer that makes no such IKE SA. The peer
// forgets its half of it.
func (s *ikeSA) refuseAlone() {
	p := s.party
	s.abandonWork(errAlone.Error())
	s.remove()
	t := reason.Facts{Cause: reason.Childless, Why: errAlone.Error()}.Trouble()
	t.At = p.e.handling.now
	p.Trouble = t
	p.fails("connect-failed", t)
	p.waiters.failedAlone(reason.Err(t, ""))
	p.e.touch(p)
}
