package netlab

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// With its offloads a device is handed super-packets; without them, what is sent fits the MTU.
func TestNoOffloads(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var largest atomic.Int64
	s := must(a.SniffHeaders("wan", 1<<16, func(frame []byte) {
		if p, ok := ParseFrame(frame); ok && p.Src == left {
			largest.Store(max(largest.Load(), int64(len(frame))))
		}
	}))(t)
	for _, without := range []bool{false, true} {
		if without {
			if err := a.NoOffloads("wan"); err != nil {
				t.Fatal(err)
			}
			largest.Store(0)
		}
		if _, err := Transfer(ctx, a, left, b, right, 1<<20); err != nil {
			t.Fatal(err)
		}
		s.Sync()
		if n := largest.Load(); n < 1000 || (n <= 1514) != without {
			t.Errorf("without offloads %v: the largest frame has %d octets", without, n)
		}
	}
}

// GRO at the receiver joins what arrives as single packets.
func TestGRO(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.NoOffloads("wan"); err != nil {
		t.Fatal(err)
	}
	if err := b.GRO("wan"); err != nil {
		t.Fatal(err)
	}
	var joined atomic.Uint64
	s := must(b.SniffHeaders("wan", 1<<16, func(frame []byte) {
		if p, ok := ParseFrame(frame); ok && p.Src == left && len(frame) > 1514 {
			joined.Add(1)
		}
	}))(t)
	if _, err := Transfer(ctx, a, left, b, right, 4<<20); err != nil {
		t.Fatal(err)
	}
	if s.Sync(); joined.Load() == 0 {
		t.Error("no packets were joined")
	}
}

func TestEthtoolNamesTheDevice(t *testing.T) {
	a, _, _ := twoHosts(t, false)
	for name, err := range map[string]error{"none": a.NoOffloads("none"), "a-name-that-is-too-long-for-one": a.GRO("a-name-that-is-too-long-for-one")} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
