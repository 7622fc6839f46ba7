package netlab

import (
	"context"
	"testing"
	"time"
)

// TestShape: a shaped device takes at least as long as its rate asks for, and after Unshape less.
func TestShape(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := a.PingUntil(ctx, left, right, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	const octets, rate = 1 << 20, 20_000_000
	least := time.Duration(octets*8*float64(time.Second)/rate) / 2 // half: a burst is free
	for _, bands := range []bool{false, true} {
		if err := a.Shape("wan", rate, 128<<10, bands); err != nil {
			t.Fatal(err)
		}
		if took := must(Transfer(ctx, a, left, b, right, octets))(t); took < least {
			t.Errorf("bands %v: %d octets at %d bit/s took %v", bands, octets, rate, took)
		}
	}
	if err := a.Unshape("wan"); err != nil {
		t.Fatal(err)
	}
	if err := a.Unshape("wan"); err != nil {
		t.Errorf("without limits: %v", err)
	}
	fastest := time.Hour
	for range 5 { // the machine may be busy
		fastest = min(fastest, must(Transfer(ctx, a, left, b, right, octets))(t))
	}
	if fastest >= least {
		t.Errorf("after Unshape: %v", fastest)
	}
}
