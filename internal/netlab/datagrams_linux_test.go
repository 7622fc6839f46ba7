package netlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDatagramsCountWhatIsLost(t *testing.T) {
	a, b, w := twoHosts(t, true)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	for _, drop := range []float64{0, 0.3} {
		w.Impair(Impairment{Drop: drop})
		c := must(d.Run(t.Context(), 5000, []int{100}, 200*time.Millisecond))(t)
		if c.Sent < 50 || c.Sent > 1000 || c.Took != 200*time.Millisecond || c.Span < c.Took {
			t.Errorf("%d datagrams sent in %v, want 1000 in 200ms, or fewer on a machine that is busy", c.Sent, c.Took)
		}
		if lost := float64(c.Sent-c.Received) / float64(c.Sent); (drop == 0) != (lost == 0) || lost > 2*drop {
			t.Errorf("of datagrams dropped with probability %v, %v were lost: %+v", drop, lost, c)
		}
	}
}

func TestDatagramsSeeReordering(t *testing.T) {
	a, b, w := twoHosts(t, true)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	w.Impair(Impairment{Delay: 0.2, MaxDelay: 5 * time.Millisecond})
	if c := must(d.Run(t.Context(), 5000, []int{100}, 200*time.Millisecond))(t); c.Reordered == 0 || c.Received != c.Sent {
		t.Errorf("got %+v", c)
	}
}

// Datagrams of several sizes to several addresses: each is taken in turn, and none is taken for one
// that is reordered.
func TestDatagramsToMany(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	if err := errors.Join(b.Own("203.0.113.0/24"), a.Route("203.0.113.0/24", right.String(), 0)); err != nil {
		t.Fatal(err)
	}
	sizes := []int{64, 64, 1400}
	d := must(NewDatagramsToMany(a, left, b, []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")}))(t)
	defer d.Close()
	tap := must(b.packetSocket("wan"))(t)
	defer unix.Close(tap)
	c := must(d.Run(t.Context(), 1000, sizes, 100*time.Millisecond))(t)
	if c.Sent < 12 || c.Received != c.Sent || c.Reordered != 0 {
		t.Fatalf("%+v", c)
	}
	seen := map[string]int{}
	buf := make([]byte, 2000)
	for {
		n, err := unix.Read(tap, buf)
		if err != nil {
			break
		}
		if n > 14+20+8 && buf[14+9] == unix.IPPROTO_UDP {
			seen[fmt.Sprint(netip.AddrFrom4([4]byte(buf[14+16:])), " ", n-14-20-8)]++
		}
	}
	for _, want := range []string{"203.0.113.1 64", "203.0.113.2 64", "203.0.113.1 1400", "203.0.113.2 1400"} {
		if seen[want] == 0 {
			t.Errorf("none with %s octets; %v", want, seen)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%v", seen)
	}
}

func TestDatagramsEndWithTheContext(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Run(ctx, 1000, []int{64}, time.Hour); err == nil {
		t.Error("no error")
	}
}
