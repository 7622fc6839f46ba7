package tun

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"culvert/tun/protect"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// many returns policies with n remote networks.
func many(n int) []protect.Policy {
	p := protect.Policy{Local: prefixes("10.1.0.0/16")}
	for i := range n {
		p.Remote = append(p.Remote, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32))
	}
	return []protect.Policy{p}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A cost is a duration and the CPU time in it.
type cost struct{ wall, cpu time.Duration }

func (c cost) String() string {
	return fmt.Sprintf("%.1f ms (CPU %.1f ms)", float64(c.wall.Microseconds())/1000, float64(c.cpu.Microseconds())/1000)
}

func costOf(t testing.TB, f func()) cost {
	wall, used := time.Now(), cpuTime(t)
	f()
	return cost{time.Since(wall), cpuTime(t) - used}
}

// least returns the cost of the cheapest of some runs, which other work on the machine affects
// least.
func least(t testing.TB, f func(i int)) cost {
	best := costOf(t, func() { f(0) })
	for i := 1; i < 5; i++ {
		if c := costOf(t, func() { f(i) }); c.cpu < best.cpu {
			best = c
		}
	}
	return best
}

// A scale holds the costs of a router's operations.
type scale struct{ start, change, event, whole, end cost }

func measure(t *testing.T, n int, fence bool) (s scale) {
	t.Helper()
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d, Fence: fence})
	ps := many(n)
	ps[0].ID = 1
	whole := r.set.Change(ps, nil)
	s.start = costOf(t, func() {
		if err := r.Apply(whole); err != nil {
			t.Fatal(err)
		}
	})
	one := protect.ID(2)
	s.change = least(t, func(i int) {
		p := protect.Policy{ID: one, Local: prefixes("10.1.0.0/16"), Remote: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 20, byte(i), 0}), 24)}}
		if err := r.Apply(r.set.Change([]protect.Policy{p}, nil)); err != nil {
			t.Fatal(err)
		}
	})
	link, err := h.Netlink().LinkByName("tout")
	if err != nil {
		t.Fatal(err)
	}
	s.event = least(t, func(i int) {
		addr, _ := netlink.ParseAddr(fmt.Sprintf("192.0.2.%d/24", 100+i))
		if err := h.Netlink().AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the router knows of the address", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Contains(r.plan.links, netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", 100+i)))
		})
	})
	s.whole = costOf(t, func() { r.compareNow() })
	s.end = costOf(t, func() {
		if err := r.Close(false); err != nil {
			t.Fatal(err)
		}
		d.Close()
	})
	if left := ours(t, h); len(left) != 0 {
		t.Errorf("%d rules and routes are left, the first: %s", len(left), left[0])
	}
	return s
}

// The cost of one more network, and of one more address of the host, does not grow with the number
// of networks. CULVERT_MEASURE=1 prints the table of docs/measurements.md.
func TestManyNetworks(t *testing.T) {
	if os.Getenv("CULVERT_MEASURE") == "1" {
		for _, fence := range []bool{false, true} {
			for _, n := range []int{10, 10_000, 100_000} {
				s := measure(t, n, fence)
				t.Logf("fences %v, %d networks: start %v, one more %v, address %v, comparison of all %v, end %v", fence, n, s.start, s.change, s.event, s.whole, s.end)
			}
		}
		return
	}
	s := measure(t, 20_000, false)
	for what, c := range map[string]cost{"one network more": s.change, "an address": s.event} {
		if c.cpu > 10*time.Millisecond {
			t.Errorf("%s among 20,000 networks takes %v, want less than 10 ms of CPU", what, c)
		}
	}
}
