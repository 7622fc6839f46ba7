//go:build linux

package netlab

import (
	"net/netip"
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
