package ike

import (
	"errors"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// setup is what an IKE SA needs only until it is established.
type setup struct {
	nonces            noncePair
	request, response []byte // the IKE_SA_INIT messages as they went, which AUTH covers (RFC 7296, Section 2.15)
	init              initTry
	fragment          int     // size to fragment to, when both sides can
	refusal           trouble // what an unprotected message says; anybody may have sent it
}

// initTry is the initiator's IKE_SA_INIT.
type initTry struct {
	groupChoice
	offers    []wire.Proposal
	ke        suite.KeyExchange
	cookie    []byte
	cookies   int // times that a cookie was asked for
	computing bool
	grace     timer // after an unprotected refusal
}

// keyPair is the result of a key exchange computation: our half, and the shared secret where it was asked for.
type keyPair struct {
	ke     suite.KeyExchange
	public []byte
	shared []byte
	err    error
}

// newKey makes our half of a key exchange elsewhere.
func (e *Engine) newKey(group wire.TransformID, then func(keyPair)) {
	maker := e.cfg.KE
	e.compute(func() any {
		ke, err := maker(group)
		if err != nil {
			return keyPair{err: err}
		}
		return keyPair{ke: ke, public: ke.Public()}
	}, keyResult(then))
}

// answerKey makes our half and the shared secret elsewhere.
func (e *Engine) answerKey(group wire.TransformID, theirs []byte, then func(keyPair)) {
	maker := e.cfg.KE
	e.compute(func() any {
		ke, err := maker(group)
		if err != nil {
			return keyPair{err: err}
		}
		shared, err := ke.Shared(theirs)
		return keyPair{ke: ke, public: ke.Public(), shared: shared, err: err}
	}, keyResult(then))
}

// sharedKey computes the shared secret elsewhere.
func (e *Engine) sharedKey(ke suite.KeyExchange, theirs []byte, then func(keyPair)) {
	e.compute(func() any {
		shared, err := ke.Shared(theirs)
		return keyPair{shared: shared, err: err}
	}, keyResult(then))
}

var errComputation = errors.New("the computation failed")

// keyResult takes a computation's value. Any other than a keyPair means that it failed where it ran.
func keyResult(then func(keyPair)) func(any) {
	return func(v any) {
		k, ok := v.(keyPair)
		if !ok {
			k.err = errComputation
		}
		then(k)
	}
}
