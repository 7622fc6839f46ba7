package ike

import (
	"fmt"
	"testing"
)

// TestSharedTexts keeps each text once, as long as a record refers to it, and uses places again.
func TestSharedTexts(t *testing.T) {
	var s sharedTexts
	want := func(place uint16, text string) {
		t.Helper()
		if got := s.text(place); got != text {
			t.Errorf("place %d has %q, want %q", place, got, text)
		}
	}
	if s.keep("") != 0 || len(s.list) != 0 {
		t.Error("no text has a place")
	}
	s.release(0)
	want(0, "")
	a, b := s.keep("a"), s.keep("b")
	if again := s.keep("a"); again != a || a == b || a == 0 || b == 0 {
		t.Errorf("places %d and %d, and %d for the first text again", a, b, again)
	}
	s.release(a)
	want(a, "a") // one record has it yet
	s.release(a)
	want(b, "b")
	if c := s.keep("c"); c != a || len(s.places) != 2 {
		t.Errorf("a new text has place %d of %d texts, want that which is free, %d", c, len(s.places), a)
	}
	want(a, "c")
	s.release(a)
	s.release(b)
	for i := range mostHalfOpen {
		want(s.keep(fmt.Sprint(i)), fmt.Sprint(i))
	}
	if len(s.list) != mostHalfOpen {
		t.Errorf("%d places for %d texts", len(s.list), mostHalfOpen)
	}
}

// TestMostHalfOpen keeps any limit below the number of places.
func TestMostHalfOpen(t *testing.T) {
	if n := (EngineLimits{MaxHalfOpen: 1 << 20}).withDefaults().MaxHalfOpen; n != mostHalfOpen || n > 1<<16-1 {
		t.Errorf("%d half-open IKE SAs are allowed, want %d", n, mostHalfOpen)
	}
}
