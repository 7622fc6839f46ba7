//go:build linux

package netlab

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
)

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var left, right = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// TestDoOfATestThatEnds: a function that ends its goroutine does not leave its caller waiting.
func TestDoOfATestThatEnds(t *testing.T) {
	h, err := Need(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Do(func() error { runtime.Goexit(); return nil }); !errors.Is(err, errEnded) {
		t.Errorf("Do returned %v", err)
	}
}
