package guard

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// networks returns n policies, each with its own remote network, for one local network or each with
// its own.
func networks(n int, ownLocal bool) []protect.Policy {
	var out []protect.Policy
	for i := range n {
		local := pfx("10.1.0.0/24")
		if ownLocal {
			local = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		}
		remote := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32)
		out = append(out, policy(fmt.Sprint(i), local, []netip.Prefix{remote}))
	}
	return out
}

// processorTime returns the time that the process has used, user and system.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGuard measures the start, the change of one network, and the release, with many
// networks.
func BenchmarkGuard(b *testing.B) {
	for _, size := range []struct {
		n        int
		ownLocal bool
	}{{10, false}, {10_000, false}, {100_000, false}, {1_000, true}} {
		name := fmt.Sprintf("%d networks", size.n)
		if size.ownLocal {
			name += " of as many groups"
		}
		lab := netlab.Need(b)
		h, err := lab.Host("gd-b")
		if err != nil {
			b.Fatal(err)
		}
		set := protect.NewSet()
		list := networks(size.n, size.ownLocal)
		set.Change(list, nil)
		in := func(f func() error) {
			if err := h.Do(f); err != nil {
				b.Fatal(err)
			}
		}
		measure := func(b *testing.B, f func(i int)) {
			cpu := processorTime()
			for i := range b.N {
				f(i)
			}
			b.ReportMetric(float64((processorTime()-cpu).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		}
		whole := set.Whole()
		order := func(yield func(protect.ID) bool) {
			for i := range list {
				if !yield(list[i].ID) {
					return
				}
			}
		}
		attribute := func(g *Guard) {
			if err := g.Attribute(set.Owners(order)); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name+"/start", func(b *testing.B) {
			measure(b, func(int) {
				var g *Guard
				in(func() (err error) { g, err = Open(testConfig(), whole); return err })
				attribute(g)
				g.Close()
			})
		})
		b.Run(name+"/change", func(b *testing.B) {
			var g *Guard
			in(func() (err error) { g, err = Open(testConfig(), whole); return err })
			defer g.Close()
			attribute(g)
			one := networks(size.n+1, size.ownLocal)[size.n]
			b.ResetTimer()
			measure(b, func(i int) {
				c := set.Change([]protect.Policy{one}, nil)
				if i%2 == 1 {
					c = set.Change(nil, []protect.ID{one.ID})
				}
				if err := g.Apply(c); err != nil {
					b.Fatal(err)
				}
				attribute(g)
			})
			set.Change(nil, []protect.ID{one.ID})
		})
		b.Run(name+"/change of a counted one", func(b *testing.B) {
			var g *Guard
			in(func() (err error) { g, err = Open(testConfig(), whole); return err })
			defer g.Close()
			attribute(g)
			one := list[0]
			b.ResetTimer()
			measure(b, func(i int) {
				one.Remote = list[0].Remote
				if i%2 == 0 {
					one.Remote = append(pfx("198.51.100.0/24"), one.Remote...)
				}
				if err := g.Apply(set.Change([]protect.Policy{one}, nil)); err != nil {
					b.Fatal(err)
				}
				attribute(g)
			})
			set.Change(list[:1], nil)
		})
		b.Run(name+"/release", func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				in(func() error {
					g, err := Open(testConfig(), whole)
					if err == nil {
						err = g.Close()
					}
					return err
				})
				b.StartTimer()
				in(func() error { _, err := Release(deviceName); return err })
			}
		})
		lab.Close()
	}
}
