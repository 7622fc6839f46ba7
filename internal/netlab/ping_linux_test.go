package netlab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// A ping is one request of the asked size, and ends with the context.
func TestPing(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	var requests, octets atomic.Int64
	s := must(b.Sniff("wan", func(frame []byte) {
		if p, ok := ParseFrame(frame); ok && p.Src == left && p.Protocol == protoICMP {
			requests.Add(1)
			octets.Add(int64(len(frame)) - 14 - 20 - 8)
		}
	}))(t)
	if rtt, err := a.Ping(t.Context(), left, right, 1000); err != nil || rtt <= 0 {
		t.Fatalf("got %v, %v", rtt, err)
	}
	if s.Sync(); requests.Load() != 1 || octets.Load() != 1000 {
		t.Errorf("%d requests of %d octets", requests.Load(), octets.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, left, netip.MustParseAddr("192.0.2.77"), 56); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := a.Ping(t.Context(), right, left, 56); err == nil {
		t.Error("a ping from an address of another host")
	}
}

// PingUntil goes on while the network refuses, and ends with the first reply or the context.
func TestPingUntil(t *testing.T) {
	a, _, _ := twoHosts(t, false)
	if err := a.SetLink("wan", false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	_, err := a.PingUntil(ctx, left, right, 20*time.Millisecond)
	if cancel(); err == nil {
		t.Fatal("a reply over a link that is down")
	}
	up := make(chan error, 1)
	time.AfterFunc(60*time.Millisecond, func() { up <- a.SetLink("wan", true) })
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	took, err := a.PingUntil(ctx, left, right, 20*time.Millisecond)
	if err := errors.Join(err, <-up); err != nil {
		t.Fatal(err)
	}
	if took < 60*time.Millisecond {
		t.Errorf("a reply after %v, before the link was up", took)
	}
}
