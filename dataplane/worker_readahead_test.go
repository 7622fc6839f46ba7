package dataplane

import (
	"bytes"
	"context"
	"testing"

	"culvert/tun/gso"
)

func TestBlockingQueue(t *testing.T) {
	blocking := func(c *Config) {
		for _, q := range c.Queues {
			q.(*fakeQueue).blocking = make(chan gso.Packet)
		}
	}
	a, b := twoGateways(t, 1, blocking)
	install(t, a, b, childSA(t, a, b, 1))
	for i := range 3 * readAheadDepth {
		want := udpPacket(src6, dst6, true, []byte{byte(i)})
		a.queues[0].blocking <- gso.Packet{Data: want}
		if i%2 == 0 {
			continue // two at once
		}
		b.queues[0].want(t)
		if got := b.queues[0].want(t); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
	}
	if err := a.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestBlockingQueueGone(t *testing.T) {
	a := newGateway(t, 1, func(c *Config) { c.Queues[0].(*fakeQueue).blocking = make(chan gso.Packet) })
	done := make(chan error)
	go func() { done <- a.Run(context.Background()) }()
	for range 2 * readAheadDepth {
		a.queues[0].blocking <- gso.Packet{Data: udpPacket(src4, dst4, true, nil)}
	}
	a.queues[0].closed = true
	close(a.queues[0].blocking)
	if err := <-done; err == nil {
		t.Error("Run ended without an error")
	}
}
