package budget

import (
	"net/netip"
	"testing"
	"time"
)

// TestUnprotected: the limits hold in each second, and strangers leave room for configured
// addresses.
func TestUnprotected(t *testing.T) {
	var u Unprotected
	for _, at := range []time.Time{start, start.Add(time.Second), start} {
		errors, strangers, known, hints, icmp := 0, 0, 0, 0, 0
		for range 2 * maxHints {
			if u.AllowHint(at) {
				hints++
			}
		}
		for range 2 * maxICMP {
			if u.AllowICMP(at) {
				icmp++
			}
		}
		for range 100 {
			if u.AllowError(at) {
				errors++
			}
			if u.AllowRefusal(at, false) {
				strangers++
			}
		}
		for range 100 {
			if u.AllowRefusal(at, true) {
				known++
			}
		}
		if hints != maxHints || icmp != maxICMP {
			t.Errorf("%d hints and %d ICMP errors in a second", hints, icmp)
		}
		if errors != maxErrors || strangers != MaxRefusals || known != MaxRefusals {
			t.Errorf("%d errors, %d and %d refusals in a second", errors, strangers, known)
		}
	}
}

// TestNumbers: what strangers can cause in a second, in the numbers that operators are told.
func TestNumbers(t *testing.T) {
	var u Unprotected
	count := func(allow func(i int) bool) (n int) {
		for i := range 5000 {
			if allow(i) {
				n++
			}
		}
		return n
	}
	host := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for _, tt := range []struct {
		what  string
		allow func(i int) bool
		want  int
	}{
		{"errors", func(int) bool { return u.AllowError(start) }, 10},
		{"hints", func(int) bool { return u.AllowHint(start) }, 100},
		{"ICMP errors", func(int) bool { return u.AllowICMP(start) }, 100},
		{"refusals of strangers", func(int) bool { return u.AllowRefusal(start, false) }, 10},
		{"refusals of configured addresses", func(int) bool { return u.AllowRefusal(start, true) }, 10},
		{"answers to one host", func(int) bool { return u.AllowAnswer(start, host(1), false) }, 10},
		{"answers to strangers", func(i int) bool { return u.AllowAnswer(start, host(i), false) }, 200 - 10},
		{"answers to peers", func(i int) bool { return u.AllowAnswer(start, host(1000+i), true) }, 1000},
		{"tokens of one host", func(int) bool { return u.AllowToken(start, host(1), false) }, 10},
		{"tokens of strangers", func(i int) bool { return u.AllowToken(start, host(i), false) }, 1000 - 10},
		{"tokens of peers", func(i int) bool { return u.AllowToken(start, host(2000+i), true) }, 1000},
		{"INVALID_SPI to one host", func(int) bool { return u.AllowInvalidSPI(start, host(1), false) }, 2},
		{"INVALID_SPI to strangers", func(i int) bool { return u.AllowInvalidSPI(start, host(i), false) }, 50 - 2},
		{"INVALID_SPI to peers", func(i int) bool { return u.AllowInvalidSPI(start, host(1000+i), true) }, 200},
	} {
		if got := count(tt.allow); got != tt.want {
			t.Errorf("%s: %d in a second, want %d", tt.what, got, tt.want)
		}
	}
}
