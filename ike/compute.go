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

// jobs holds the slow computations under way.
type jobs struct {
	last    uint64
	waiting map[uint64]func(any)
	ofSA    map[*ikeSA]saJob // see computeFor
}

// compute runs run elsewhere. A later Handle calls then with its value, if ever; then must check
// that what it works for still exists.
func (e *Engine) compute(run func() any, then func(any)) { e.begin(Compute{Run: run}, then) }

// begin is compute for a computation without its ID.
func (e *Engine) begin(c Compute, then func(any)) {
	e.jobs.last++
	c.ID = e.jobs.last
	e.jobs.waiting[c.ID] = then
	e.emit(c)
}

// computeFor is compute for an IKE SA, which waits for one such computation at a time, until its
// result comes or cancel is called.
func (e *Engine) computeFor(s *ikeSA, run func() any, then func(any)) {
	e.beginFor(s, Compute{Run: run}, func() {}, then)
}

// beginFor is computeFor for a computation without its ID. end is called when the IKE SA no longer
// waits, before then.
func (e *Engine) beginFor(s *ikeSA, c Compute, end func(), then func(any)) {
	e.begin(c, func(v any) {
		delete(e.jobs.ofSA, s)
		end()
		then(v)
	})
	e.jobs.ofSA[s] = saJob{e.jobs.last, end}
}

// saJob is the computation that an IKE SA waits for.
type saJob struct {
	id  uint64
	end func()
}

// cancel drops the computation that an IKE SA waits for by computeFor, if there is one. Its result
// is ignored.
func (j *jobs) cancel(s *ikeSA) {
	if job, ok := j.ofSA[s]; ok {
		delete(j.ofSA, s)
		delete(j.waiting, job.id)
		job.end()
	}
}

func (j *jobs) finish(in Computed) {
	then := j.waiting[in.ID]
	if then == nil {
		return
	}
	delete(j.waiting, in.ID)
	then(in.Value)
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
	e.begin(Compute{Run: answering(e.cfg.KE, group, theirs), Dear: e.cfg.KE.Dear(group)}, keyResult(then))
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
