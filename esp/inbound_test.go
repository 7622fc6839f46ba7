package esp

import (
	"errors"
	"testing"
)

// A soft limit is reported once. Of the run that exceeds a hard limit the packets before it are
// good, and no later one is.
func TestInboundLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		good   int // in all
		soft   int // the run that reaches the soft limit
		hard   int // the run that goes over the hard one
	}{
		{"packets", Limits{SoftPackets: 12, HardPackets: 23}, 23, 1, 2},
		{"packets, up to the end of a run", Limits{SoftPackets: 10, HardPackets: 30}, 30, 0, 3},
		{"octets", Limits{SoftBytes: 1100, HardBytes: 2350}, 23, 1, 2},
		{"octets, whichever is first", Limits{SoftBytes: 1100, HardBytes: 2350, SoftPackets: 500, HardPackets: 21}, 21, 1, 2},
	} {
		sa := pair(aes128, false, 64)
		sa.Limits = c.limits
		o, in, good, softs := mustOut(t, sa), mustIn(t, sa), 0, 0
		for i := range 6 {
			var sealed [][]byte
			for k := range uint64(10) {
				sealed = append(sealed, sealNumber(o, uint64(i)*10+k+1, 100))
			}
			run := runOf(sealed...)
			a := in.Open(new(Scratch), run)
			if a.Hard != (i >= c.hard) {
				t.Errorf("%s: run %d: hard %v", c.name, i, a.Hard)
			}
			if a.Soft {
				softs++
				if softs == 1 && i != c.soft {
					t.Errorf("%s: soft limit told of by run %d, want %d", c.name, i, c.soft)
				}
			}
			for _, p := range run {
				switch {
				case p.Err == nil:
					good++
				case !errors.Is(p.Err, ErrExhausted) || p.Data != nil || good < c.good:
					t.Errorf("%s: run %d: %v after %d good ones", c.name, i, p.Err, good)
				}
			}
		}
		if good != c.good || softs == 0 || softs > 2 {
			t.Errorf("%s: %d good packets, want %d; %d soft signals", c.name, good, c.good, softs)
		}
	}
}

func TestOpenWithoutWindow(t *testing.T) {
	for _, esn := range []bool{false, true} {
		sa := pair(aes128, esn, 0)
		o, in := mustOut(t, sa), mustIn(t, sa)
		var s Scratch
		for _, seq := range []uint64{1, 1, 70000, 1, 1<<32 - 1, 70000} {
			if !esn || seq != 1<<32-1 {
				if p, _ := openOne(in, o.Seal(&s, make([]byte, 100), seq, text(9), NextIPv4)); p.Err != nil {
					t.Errorf("esn %v: number %d: %v", esn, seq, p.Err)
				}
			}
		}
	}
}
