package dataplane

import (
	"bytes"
	"errors"
	"testing"

	"culvert/dataplane/netio"
)

// TestGatherOneReceive: the segments that one receive brings are one write, and nothing waits for
// the next receive.
func TestGatherOneReceive(t *testing.T) {
	a, b := twoGateways(t, 1, func(c *Config) { c.Offloads = allOffloads })
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	payload := random(20 * 1000)
	a.queues[0].in.put(nil, superPacket(src4, dst4, 1, payload, 1000))
	var got []byte
	for range 20 {
		pkt := b.queues[0].want(t)
		checkSums(t, pkt)
		got = append(got, pkt[40:]...)
	}
	if !bytes.Equal(got, payload) {
		t.Error("the payload is another")
	}
	if n := b.queues[0].writes.Load(); n != 1 {
		t.Errorf("20 segments in %d writes", n)
	}
	if st, ok := b.ChildStats(1); !ok || st.PacketsIn != 20 {
		t.Errorf("stats %+v", st)
	}
	// A write that fails loses all that was in it.
	broken := errors.New("broken")
	b.queues[0].writeErr.Store(&broken)
	a.queues[0].in.put(nil, superPacket(src4, dst4, 1, payload, 1000))
	b.wantCounter(t, "tun_write_errors", 20)
}

// TestGatherBurst: what comes as single datagrams of one burst is gathered until its end.
func TestGatherBurst(t *testing.T) {
	a, b := twoGateways(t, 1, func(c *Config) { c.Offloads = allOffloads })
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	lost := errors.New("lost")
	a.ports[0].sending(func(o *netio.Outgoing) error {
		var burst []netio.Received
		for data := o.Data; len(data) > 0; data = data[min(o.SegSize, len(data)):] {
			one := data[:min(o.SegSize, len(data))]
			burst = append(burst, netio.Received{Data: one, Path: back(o.Path), More: len(one) < len(data)})
		}
		b.ports[0].in.put(nil, burst...)
		return lost
	})
	a.queues[0].in.put(nil, superPacket(src4, dst4, 1, random(20*1000), 1000))
	for range 20 {
		checkSums(t, b.queues[0].want(t))
	}
	if n := b.queues[0].writes.Load(); n != 1 {
		t.Errorf("a burst of 20 in %d writes", n)
	}
}
