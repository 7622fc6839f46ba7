package ike

import (
	"bytes"
	"errors"
	"testing"

	"culvert/ike/wire"
)

// finish runs the computation that the last Handle asked for, and returns its result to the engine.
func finish(t *testing.T, e *Engine) {
	t.Helper()
	c, ok := e.handling.fx.List[len(e.handling.fx.List)-1].(Compute)
	if !ok {
		t.Fatalf("nothing is computed: %v", e.handling.fx.List)
	}
	e.jobs.finish(Computed{ID: c.ID, Value: c.Run()})
}

// Both sides of a key exchange come to the same secret, and whoever gives what is not a public
// value gets an error.
func TestKeyExchangeComputations(t *testing.T) {
	e := New(Config{KE: fakeKEs{random: seededRand(1, "ke")}}, epoch)
	var ours, theirs, shared keyPair
	e.newKey(wire.GroupX25519, func(k keyPair) { ours = k })
	finish(t, e)
	e.answerKey(wire.GroupX25519, ours.public, func(k keyPair) { theirs = k })
	finish(t, e)
	e.sharedKey(ours.ke, theirs.public, func(k keyPair) { shared = k })
	finish(t, e)
	if shared.err != nil || theirs.err != nil || len(shared.shared) == 0 || !bytes.Equal(shared.shared, theirs.shared) {
		t.Errorf("one side has %x, %v, the other %x, %v", shared.shared, shared.err, theirs.shared, theirs.err)
	}
	for _, broken := range []func(func(keyPair)){
		func(then func(keyPair)) { e.newKey(wire.GroupNone, then) },
		func(then func(keyPair)) { e.answerKey(wire.GroupNone, ours.public, then) },
		func(then func(keyPair)) { e.answerKey(wire.GroupX25519, []byte{1}, then) },
		func(then func(keyPair)) { e.sharedKey(ours.ke, []byte{1}, then) },
	} {
		var got keyPair
		broken(func(k keyPair) { got = k })
		if finish(t, e); got.err == nil {
			t.Errorf("the result is %+v", got)
		}
	}
}

// The driver is told which key exchanges of newcomers are dear.
func TestDearComputationsAreTold(t *testing.T) {
	for _, dear := range []bool{false, true} {
		e := New(Config{KE: fakeKEs{random: seededRand(1, "ke"), dear: dear}}, epoch)
		e.answerKey(wire.GroupX25519, nil, func(keyPair) {})
		if c := e.handling.fx.List[0].(Compute); c.Dear != dear {
			t.Errorf("dear is %v, want %v", c.Dear, dear)
		}
	}
}

// A computation that failed where it ran has no keyPair as its value.
func TestComputationThatFailed(t *testing.T) {
	for _, v := range []any{nil, "panic: a bug"} {
		var got keyPair
		if keyResult(func(k keyPair) { got = k })(v); !errors.Is(got.err, errComputation) {
			t.Errorf("%v: the result is %+v", v, got)
		}
	}
}
