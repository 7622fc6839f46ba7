package ike

import (
	"errors"

	"culvert/ike/suite"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// initTry is the state of the initiator's IKE_SA_INIT.
type initTry struct {
	groupChoice
	offers    []wire.Proposal
	ke        suite.KeyExchange
	cookie    []byte
	cookies   int // number of cookies that were requested
	computing bool
	grace     timer.Timer // runs after an unprotected refusal
}

// A keyPair is the result of a key exchange computation: our half, the shared secret if it was
// asked for, or an error.
type keyPair struct {
	ke     suite.KeyExchange
	public []byte
	shared []byte
	err    error
}

// newKey has Compute make our half of a key exchange. then is called with it by a later Handle.
func (e *Engine) newKey(group wire.TransformID, then func(keyPair)) {
	groups := e.cfg.KE
	e.compute(func() any {
		ke, err := groups.New(group)
		if err != nil {
			return keyPair{err: err}
		}
		return keyPair{ke: ke, public: ke.Public()}
	}, keyResult(then))
}

// answerKey has Compute make our half of a key exchange and the shared secret with theirs. then is
// called with both by a later Handle.
func (e *Engine) answerKey(group wire.TransformID, theirs []byte, then func(keyPair)) {
	e.compute(answering(e.cfg.KE, group, theirs), keyResult(then))
}

// answerKey is that of the engine for a request of the peer: then is not called once the IKE SA has
// ended or no longer waits.
func (s *ikeSA) answerKey(group wire.TransformID, theirs []byte, then func(keyPair)) {
	s.e.computeFor(s, answering(s.e.cfg.KE, group, theirs), keyResult(then))
}

func answering(groups suite.Groups, group wire.TransformID, theirs []byte) func() any {
	return func() any {
		ke, err := groups.New(group)
		if err != nil {
			return keyPair{err: err}
		}
		shared, err := ke.Shared(theirs)
		return keyPair{ke: ke, public: ke.Public(), shared: shared, err: err}
	}
}

// sharedKey has Compute make the shared secret of our half and theirs. then is called with it by a
// later Handle.
func (e *Engine) sharedKey(ke suite.KeyExchange, theirs []byte, then func(keyPair)) {
	e.compute(func() any {
		shared, err := ke.Shared(theirs)
		return keyPair{shared: shared, err: err}
	}, keyResult(then))
}

var errComputation = errors.New("the computation failed")

// keyResult returns a function that passes the value of a computation to then. A value that is not
// a keyPair means that the computation failed where it ran.
func keyResult(then func(keyPair)) func(any) {
	return func(v any) {
		k, ok := v.(keyPair)
		if !ok {
			k.err = errComputation
		}
		then(k)
	}
}
