//go:build linux

package netlab

import (
	"net"
	"sync/atomic"
	"testing"
)

// TestSnifferShowsAllBeforeSync sends datagrams and calls Sync at once: every one has been shown,
// with the requested octets only.
func TestSnifferShowsAllBeforeSync(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	const datagrams, octets = 500, 60
	var seen, long atomic.Uint64
	s := must(b.SniffHeaders("wan", octets, func(frame []byte) {
		if p, ok := ParseFrame(frame); ok && p.Src == left && p.Protocol == protoUDP && p.DstPort == 9 {
			seen.Add(1)
		}
		if len(frame) > octets {
			long.Add(1)
		}
	}))(t)
	if _, err := a.Ping(t.Context(), left, right, 56); err != nil { // makes the neighbour known
		t.Fatal(err)
	}
	var c net.Conn
	if err := a.Do(func() (err error) { c, err = net.Dial("udp", "192.0.2.2:9"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var sent uint64
	for range datagrams {
		if _, err := c.Write(make([]byte, 500)); err == nil { // some return an error instead: no socket is there
			sent++
		}
	}
	lost := s.Sync()
	if n := seen.Load(); lost > 0 || n != sent || sent == 0 || long.Load() > 0 {
		t.Errorf("%d of %d datagrams were shown, %d lost, %d frames of more than %d octets", n, sent, lost, long.Load(), octets)
	}
	again := seen.Load()
	s.Stop()
	if s.Sync(); seen.Load() != again {
		t.Error("frames were shown after Sync")
	}
}
