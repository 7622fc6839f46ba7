package ike

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/reason"
)

// waiters holds the commands that wait for their outcome.
type waiters struct{ list []*waiter }

// waiter is one Connect or Disconnect command.
type waiter struct {
	ref      uint64
	policies []*child.Policy
	alone    bool // it waits for the IKE SA alone
	e        *Engine
	met      func() bool
}

func (w *waiters) add(n *waiter) { w.list = append(w.list, n) }

// check answers commands whose goal is reached, or no longer pursued.
func (w *waiters) check() {
	w.list = slices.DeleteFunc(w.list, func(n *waiter) bool {
		if n.met() {
			n.e.emit(Done{Ref: n.ref})
			return true
		}
		for _, pol := range n.policies {
			if !pol.Up() && !pol.Wanted() && !pol.Busy() {
				n.e.emit(Done{Ref: n.ref, Err: reason.Err(pol.Trouble, "child "+identity.Quote(pol.Settings.Name)+": ")})
				return true
			}
		}
		return false
	})
}

// failed answers the commands that wait for the policy.
func (w *waiters) failed(pol *child.Policy, err error) {
	w.list = slices.DeleteFunc(w.list, func(n *waiter) bool {
		if !slices.Contains(n.policies, pol) {
			return false
		}
		n.e.emit(Done{Ref: n.ref, Err: err})
		return true
	})
}

func (w *waiters) waitFor(pol *child.Policy) bool {
	return slices.ContainsFunc(w.list, func(n *waiter) bool { return slices.Contains(n.policies, pol) })
}

// abandon answers all commands with an error.
func (w *waiters) abandon(err error) {
	for _, n := range w.list {
		n.e.emit(Done{Ref: n.ref, Err: err})
	}
	w.list = nil
}

// target returns the peer and the policies that a command names.
func (e *Engine) target(name, named string) (*party, []*child.Policy, error) {
	p, err := e.named(name)
	if err != nil {
		return nil, nil, err
	}
	if named == "" {
		return p, p.policies, nil
	}
	pol := p.policyNamed(named)
	if pol == nil {
		return nil, nil, fmt.Errorf("peer %s has no child %s", identity.Quote(name), identity.Quote(named))
	}
	return p, []*child.Policy{pol}, nil
}

var errStopping = errors.New("the daemon is stopping")

func (e *Engine) connect(in Connect) {
	released, err := e.release(in)
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	p, pols, err := e.target(in.Peer, in.Child)
	if released && (err != nil || len(p.cfg.Remote) == 0 && p.main() == nil) {
		e.emit(Done{Ref: in.Ref}) // the peer may call again
		return
	}
	switch {
	case err == nil && e.stopping:
		err = errStopping
	case err == nil && in.Alone:
		p.connectAlone(in.Ref)
		return
	case err == nil && len(pols) == 0:
		err = fmt.Errorf("peer %s has no children to bring up", identity.Quote(in.Peer))
	case err == nil:
		err = e.stillHeld(pols)
	}
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	for _, pol := range pols {
		pol.Start()
	}
	p.try.At = time.Time{}
	for _, s := range p.sas {
		s.askAtOnce()
	}
	p.waiters.add(&waiter{ref: in.Ref, policies: pols, e: e, met: func() bool {
		return !slices.ContainsFunc(pols, func(pol *child.Policy) bool { return !pol.Up() })
	}})
	e.touch(p)
}

func (e *Engine) disconnect(in Disconnect) {
	if !in.Once {
		e.holdDown(in)
		return
	}
	p, pols, err := e.target(in.Peer, in.Child)
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	down := errors.New("it was taken down by another command")
	for _, pol := range pols {
		pol.Stop()
		e.dismiss(pol)
		p.waiters.failed(pol, down)
	}
	if in.Child == "" {
		p.waiters.failedAlone(down)
	}
	const why = "taken down by command"
	closing := p.closeAll
	if in.Child != "" {
		closing = pols[0].DeleteAll
	} else {
		p.Trouble = child.Trouble{Reason: why}
	}
	p.waiters.add(&waiter{ref: in.Ref, e: e, met: closing(why)})
	e.touch(p)
}

// closeAll ends every IKE SA of the peer: established ones by a Delete, others at once. The
// returned function reports whether they have ended.
func (p *party) closeAll(why string) (ended func() bool) {
	list := slices.Clone(p.sas)
	for _, s := range list {
		s.close(why)
	}
	return func() bool {
		return !slices.ContainsFunc(list, func(s *ikeSA) bool { return !s.state.ended() })
	}
}

func (e *Engine) rekey(in Rekey) {
	p, pols, err := e.target(in.Peer, in.Child)
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	if in.Child == "" {
		s := p.main()
		if s == nil {
			e.emit(Done{Ref: in.Ref, Err: fmt.Errorf("peer %s is not connected", identity.Quote(in.Peer))})
			return
		}
		s.life.refs = append(s.life.refs, in.Ref)
		s.life.due()
		return
	}
	pols[0].Rekey(in.Ref)
}

// answerRefs answers Rekey commands about an IKE SA.
func (e *Engine) answerRefs(refs *[]uint64, err error) {
	for _, ref := range *refs {
		e.emit(Done{Ref: ref, Err: err})
	}
	*refs = nil
}

// acquire handles a packet that has no SA. The answer is a Child SA or AcquireFailed.
func (e *Engine) acquire(in Acquire) {
	g := e.standby.of[in.Policy]
	if g != nil && in.Resource == 0 {
		g.asked = true
		e.touch(ownerOf(g.members[0].pol))
	}
	if pol := e.policies.byID[in.Policy]; pol != nil && !g.left(pol) {
		pol.Acquire(in.Flow, in.Resource)
	} else if in.Resource == 0 {
		e.emit(AcquireFailed{Policy: in.Policy})
	}
}

// expire handles a byte or packet limit.
func (e *Engine) expire(in Expire) {
	p := e.pairs.Carried(in.ID)
	switch {
	case p == nil:
	case in.Hard:
		p.Expired()
	default:
		p.Expiring()
	}
}
