package netio

import (
	"errors"
	"testing"
)

// TestLostIsCountedByReason: each error of a send has its counter, and counters of ports add up.
func TestLostIsCountedByReason(t *testing.T) {
	for err, name := range map[error]string{
		ErrTooBig: "net_send_too_big", ErrWouldBlock: "net_send_would_block", errNoBuffers: "net_send_no_buffers",
		errNoSocket: "net_send_errors", errors.New("another"): "net_send_errors", errRefused: "",
	} {
		var c counters
		m := map[string]uint64{}
		c.lost(3, err)
		c.addTo(m)
		c.addTo(m)
		for key, n := range m {
			want := uint64(0)
			if key == name {
				want = 6
			}
			if n != want {
				t.Errorf("%v: %s = %d, want %d", err, key, n, want)
			}
		}
		if _, ok := m[name]; !ok && name != "" || len(m) != 13 {
			t.Errorf("%v: counters %v", err, m)
		}
	}
}

// TestCounterNames: what the port counts itself appears under its own name.
func TestCounterNames(t *testing.T) {
	var c counters
	c.keepalives.Add(1)
	c.truncated.Add(2)
	c.kernelDrops.Add(3)
	c.moved.Add(4)
	c.gsoRefused.Add(5)
	c.direct.Add(6)
	c.fallback.Add(7)
	c.ring.Add(8)
	m := map[string]uint64{}
	c.addTo(m)
	for name, want := range map[string]uint64{"net_keepalives_in": 1, "net_truncated": 2, "net_kernel_drops": 3, "net_send_moved": 4, "net_gso_refused": 5,
		"net_direct": 6, "net_direct_fallback": 7, "net_ring": 8} {
		if m[name] != want {
			t.Errorf("%s = %d, want %d", name, m[name], want)
		}
	}
}
