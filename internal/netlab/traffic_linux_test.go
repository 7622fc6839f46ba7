package netlab

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A transfer that arrives changed, or not in full, fails.
func TestTransferIsChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		octets string
		want   string
	}{
		"changed": {"abcd" + strings.Repeat("x", 32), "differ"},
		"short":   {"ab", "EOF"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- receive(ctx, l, 4) }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(tt.octets)); err != nil {
			t.Error(err)
		}
		_ = c.(*net.TCPConn).CloseWrite()
		if err := <-got; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
		c.Close()
		l.Close()
		cancel()
	}
}

// A transfer ends with its context.
func TestTransferEndsWithTheContext(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := Transfer(ctx, a, left, b, right, 1<<16); err != nil {
		t.Fatal(err)
	}
	if err := a.SetLink("wan", false); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := Transfer(short, a, left, b, right, 1<<16); err == nil {
		t.Error("a transfer over a link that is down")
	}
}

// A stream counts each datagram once, and those that are lost.
func TestStreamCounts(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := must(StartStream(a, left, b, right, 500, 4))(t) // 8 octets at least, for the number
	sent := func(n uint64) {
		t.Helper()
		if err := Until(ctx, "datagrams", func() bool { return s.Sent.Load() >= n }); err != nil {
			t.Fatal(err)
		}
	}
	sent(100)
	if lost := s.Stop(5 * time.Second); lost != 0 || s.Received.Load() != s.Sent.Load() || s.Doubled.Load()+s.Reordered.Load() != 0 {
		t.Errorf("%d lost of %d, %d doubled, %d reordered", lost, s.Sent.Load(), s.Doubled.Load(), s.Reordered.Load())
	}
	s = must(StartStream(a, left, b, right, 500, 100))(t)
	sent(20)
	if err := b.SetLink("wan", false); err != nil {
		t.Fatal(err)
	}
	sent(s.Sent.Load() + 50) // the other end of the pair still sends, into nothing
	if lost := s.Stop(50 * time.Millisecond); lost < 40 || lost != s.Sent.Load()-s.Received.Load() {
		t.Errorf("%d lost of %d, %d received", lost, s.Sent.Load(), s.Received.Load())
	}
}

// The receiver may have another address than the one that is sent to.
func TestStreamAt(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for at, want := range map[netip.Addr]bool{netip.IPv4Unspecified(): true, netip.MustParseAddr("127.0.0.1"): false} {
		s := must(StartStreamAt(a, left, right, b, at, 500, 100))(t)
		if err := Until(ctx, "datagrams", func() bool { return s.Sent.Load() >= 20 }); err != nil {
			t.Fatal(err)
		}
		if lost := s.Stop(time.Second); (lost == 0) != want {
			t.Errorf("at %v %d are lost of %d", at, lost, s.Sent.Load())
		}
	}
}
