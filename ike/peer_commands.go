package ike

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/ike/identity"
	"culvert/selector"
)

// waiters holds the commands that wait for their outcome.
type waiters struct{ list []*waiter }

// waiter is one Connect or Disconnect command.
type waiter struct {
	ref      uint64
	policies []*policy
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
			if !pol.up() && !pol.want && !pol.busy {
				n.e.emit(Done{Ref: n.ref, Err: fmt.Errorf("child %s: %s", identity.Quote(pol.cfg.Name), pol.reason)})
				return true
			}
		}
		return false
	})
}

// failed answers the commands that wait for the policy.
func (w *waiters) failed(pol *policy, err error) {
	w.list = slices.DeleteFunc(w.list, func(n *waiter) bool {
		if !slices.Contains(n.policies, pol) {
			return false
		}
		n.e.emit(Done{Ref: n.ref, Err: err})
		return true
	})
}

func (w *waiters) waitFor(pol *policy) bool {
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
func (e *Engine) target(name, child string) (*party, []*policy, error) {
	p := e.peers.byName[name]
	if p == nil {
		return nil, nil, fmt.Errorf("there is no peer %s", identity.Quote(name))
	}
	if child == "" {
		return p.party, p.party.policies, nil
	}
	pol := p.party.policyNamed(child)
	if pol == nil {
		return nil, nil, fmt.Errorf("peer %s has no child %s", identity.Quote(name), identity.Quote(child))
	}
	return p.party, []*policy{pol}, nil
}

var errStopping = errors.New("the daemon is stopping")

func (e *Engine) connect(in Connect) {
	p, pols, err := e.target(in.Peer, in.Child)
	switch {
	case err == nil && e.stopping:
		err = errStopping
	case err == nil && len(pols) == 0:
		err = fmt.Errorf("peer %s has no children to bring up", identity.Quote(in.Peer))
	}
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	for _, pol := range pols {
		pol.base, pol.want = intentOf(pol.cfg.Start), true
		pol.retry.at = time.Time{}
	}
	p.try.at = time.Time{}
	p.waiters.add(&waiter{ref: in.Ref, policies: pols, e: e, met: func() bool {
		return !slices.ContainsFunc(pols, func(pol *policy) bool { return !pol.up() })
	}})
	e.touch(p)
}

func (e *Engine) disconnect(in Disconnect) {
	p, pols, err := e.target(in.Peer, in.Child)
	if err != nil {
		e.emit(Done{Ref: in.Ref, Err: err})
		return
	}
	down := errors.New("it was taken down by another command")
	for _, pol := range pols {
		pol.base, pol.want = max(intentTraffic, intentOf(pol.cfg.Start)), false
		pol.retry.at = time.Time{}
		if pol.flow != nil {
			pol.flow = nil
			e.emit(AcquireFailed{Policy: pol.name()})
		}
		p.waiters.failed(pol, down)
	}
	closing := p.closeAll
	if in.Child != "" {
		closing = pols[0].deleteAll
	}
	p.waiters.add(&waiter{ref: in.Ref, e: e, met: closing("taken down by command")})
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

// deleteAll deletes the Child SAs of the policy. The returned function reports whether they have
// ended.
func (pol *policy) deleteAll(why string) (ended func() bool) {
	list := pol.pairs()
	for _, p := range list {
		p.delete(endLocal, why)
	}
	return func() bool {
		return !slices.ContainsFunc(list, func(p *pair) bool { return !p.state.ended() })
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
		s.rekeyDue()
		return
	}
	e.rekeyChains(pols[0], in.Ref)
}

// rekeyChains rekeys every Child SA that the policy sends on.
func (e *Engine) rekeyChains(pol *policy, ref uint64) {
	var list []*pair
	for _, l := range pol.chains() {
		if q := l.best(); q != nil {
			q.refs = append(q.refs, ref)
			list = append(list, q)
		}
	}
	if len(list) == 0 {
		e.emit(Done{Ref: ref, Err: fmt.Errorf("child %s is not up", identity.Quote(pol.cfg.Name))})
		return
	}
	if len(list) > 1 {
		e.parts[ref] = &parts{left: len(list)}
	}
	for _, q := range list {
		q.softEnd()
	}
}

// answerRefs answers Rekey commands.
func (e *Engine) answerRefs(refs *[]uint64, err error) {
	for _, ref := range *refs {
		e.answerPart(ref, err)
	}
	*refs = nil
}

// parts counts the answers for a command about several Child SAs.
type parts struct {
	left int
	told bool // an error was reported
}

// answerPart answers a command when all its parts have ended, or at the first error.
func (e *Engine) answerPart(ref uint64, err error) {
	p := e.parts[ref]
	if p == nil {
		e.emit(Done{Ref: ref, Err: err})
		return
	}
	p.left--
	if !p.told && (err != nil || p.left == 0) {
		p.told = true
		e.emit(Done{Ref: ref, Err: err})
	}
	if p.left == 0 {
		delete(e.parts, ref)
	}
}

// acquire handles a packet that has no SA. The answer is a Child SA or AcquireFailed.
func (e *Engine) acquire(in Acquire) {
	pol := e.policyFor(in.Policy)
	if in.Resource > 0 {
		if pol != nil {
			pol.acquireResource(in.Resource)
		}
		return
	}
	switch {
	case pol == nil || e.stopping || pol.base == intentDown && !pol.want:
		e.emit(AcquireFailed{Policy: in.Policy})
	case pol.up():
		// The SA came up while the report was under way. If the peer may not have it yet, the
		// packet waits.
		if p := pol.best(); p.creator || e.handling.now.Sub(p.dates.born) >= useDelay {
			p.activate()
		}
	case pol.want || pol.busy:
		pol.remember(in.Flow)
		e.touch(pol.party)
	case e.handling.now.Before(pol.retry.at) || pol.party.main() == nil && e.handling.now.Before(pol.party.try.at):
		e.emit(AcquireFailed{Policy: in.Policy})
	default:
		pol.want = true
		pol.remember(in.Flow)
		e.touch(pol.party)
	}
}

func (pol *policy) remember(f selector.Flow) {
	if pol.flow == nil {
		pol.flow = &f
	}
}

// expire handles a byte or packet limit.
func (e *Engine) expire(in Expire) {
	p := e.pairs[in.ID]
	if p == nil || p.owner == nil {
		return
	}
	if in.Hard {
		p.hardEnd()
		return
	}
	p.softEnd()
}
