package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// BenchmarkOneSA is one SA on one worker and on two: whole planes with their threads, between
// queues and ports in memory that cost nothing. What it tells is the ratio of the two, on a machine
// with two idle cores.
func BenchmarkOneSA(b *testing.B) {
	both := func(name string, bench func(b *testing.B, workers int)) {
		for workers := 1; workers <= 2; workers++ {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) { bench(b, workers) })
		}
	}
	both("seal", func(b *testing.B, workers int) { benchmarkSeal(b, workers, superSource(), false) })
	both("seal-small", func(b *testing.B, workers int) { benchmarkSeal(b, workers, smallSource(), false) })
	both("open", func(b *testing.B, workers int) { benchmarkOpen(b, workers) })
	// One flow, all of which is in the queue of one worker.
	both("flow", func(b *testing.B, workers int) { benchmarkFlow(b, workers, superSource()) })
	both("flow-small", func(b *testing.B, workers int) { benchmarkFlow(b, workers, smallSource()) })
}

// BenchmarkManyWorkers is one SA on 1 to 8 workers, also on fewer cores: then most workers that
// hold a turn do not run. Metrics for each super-packet: CPU time of the process, batches that
// another worker carried, and those put off because their turn had not come.
func BenchmarkManyWorkers(b *testing.B) {
	for _, mode := range []string{"queues", "flow", "open"} {
		for _, workers := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("%s/workers=%d", mode, workers), func(b *testing.B) {
				var p *Plane
				start := processTime(b)
				switch mode {
				case "queues":
					p = benchmarkSources(b, workers, workers, superSource(), false)
				case "flow":
					p = benchmarkSources(b, workers, 1, superSource(), false)
				case "open":
					p = benchmarkOpen(b, workers)
				}
				each := func(n uint64) float64 { return float64(n) / float64(b.N) }
				b.ReportMetric(each(uint64(processTime(b)-start)), "cpu-ns/op")
				b.ReportMetric(each(p.Counters()["batches_stolen"]), "stolen/op")
				b.ReportMetric(each(p.Counters()["batches_put_off"]), "put-off/op")
			})
		}
	}
}

// processTime is the CPU time of the process.
func processTime(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkOwnSAs is two workers that send on one SA, and on one of their own each (RFC 9611):
// super-packets, and single small packets, for which what the workers share costs most.
func BenchmarkOwnSAs(b *testing.B) {
	for name, pkt := range map[string]gso.Packet{"super": superSource(), "small": smallSource()} {
		for _, own := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/own=%t", name, own), func(b *testing.B) { benchmarkSeal(b, 2, pkt, own) })
		}
	}
}

func superSource() gso.Packet { return superPacket(src4, dst4, 1, make([]byte, 60000), 1388) }

func smallSource() gso.Packet { return gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 36))} }

func benchmarkSeal(b *testing.B, workers int, pkt gso.Packet, own bool) {
	benchmarkSources(b, workers, workers, pkt, own)
}

func benchmarkFlow(b *testing.B, workers int, pkt gso.Packet) {
	p := benchmarkSources(b, workers, 1, pkt, false)
	b.ReportMetric(float64(p.Counters()["batches_stolen"])/float64(b.N), "stolen/op")
}

// benchmarkSources is workers that send, with the given number of queues that are not empty.
func benchmarkSources(b *testing.B, workers, sources int, pkt gso.Packet, own bool) *Plane {
	s, nothing := newSupply(), newSupply()
	cfg := Config{}
	for i := range workers {
		from := s
		if i >= sources {
			from = nothing
		}
		cfg.Queues = append(cfg.Queues, newSourceQueue(from.newTap(b), pkt))
		cfg.Ports = append(cfg.Ports, &sinkPort{supply: s})
	}
	p := benchmarkPlane(b, cfg)
	sa := ipsec.ChildSA{ID: 1, Policy: lan, SPIOut: 1000, KeyOut: key(1), Cipher: gcm, ESN: true,
		Path: ipsec.NATPath(outerA, outerB), LocalTS: lanA(), RemoteTS: lanB()}
	for resource := range workers + 1 {
		if resource > 0 && !own {
			break
		}
		sa.ID, sa.Resource, sa.PerResource = ipsec.ChildID(1+resource), resource, own
		if err := p.InstallInbound(sa); err != nil {
			b.Fatal(err)
		}
		p.ActivateOutbound(sa.ID)
	}
	runPlane(b, p)
	s.run(100, 1) // until all is warm
	b.SetBytes(int64(len(pkt.Data)))
	b.ResetTimer()
	s.run(b.N, 1)
	b.StopTimer()
	return p
}

func benchmarkOpen(b *testing.B, workers int) *Plane {
	s, super := newSupply(), superPacket(dst4, src4, 1, make([]byte, 60000), 1388)
	sa := ipsec.ChildSA{ID: 1, Policy: lan, SPIIn: 1000, KeyIn: key(1), Cipher: gcm, ESN: true, ReplayWindow: 4096,
		Path: ipsec.NATPath(outerA, outerB), LocalTS: lanA(), RemoteTS: lanB()}
	other := mirror(sa)
	peer, err := esp.NewOutbound(other.Outbound())
	if err != nil {
		b.Fatal(err)
	}
	source := newRingPort(s.newTap(b), super, peer)
	cfg := Config{Offloads: allOffloads}
	for i := range workers {
		cfg.Queues = append(cfg.Queues, &sinkQueue{tap: s.newTap(b)})
		if i == 0 {
			cfg.Ports = append(cfg.Ports, source)
		} else {
			cfg.Ports = append(cfg.Ports, newRingPort(s.newTap(b), super, nil))
		}
	}
	p := benchmarkPlane(b, cfg)
	if err := p.InstallInbound(sa); err != nil {
		b.Fatal(err)
	}
	runPlane(b, p)
	run := func(n int) {
		source.fill(n)
		b.StartTimer()
		s.run(n, len(source.plain))
		b.StopTimer()
	}
	run(100) // until all is warm
	b.SetBytes(int64(len(super.Data)))
	b.ResetTimer()
	b.StopTimer()
	for left := b.N; left > 0; left -= ringRuns {
		run(min(left, ringRuns))
	}
	b.ReportMetric(float64(p.Counters()["batches_stolen"])/float64(b.N), "stolen/op")
	return p
}

// benchmarkPlane makes a plane with the policy lan, and lets its workers run at once.
func benchmarkPlane(b *testing.B, cfg Config) *Plane {
	enoughProcs(b, len(cfg.Queues))
	cfg.Log = slog.New(slog.DiscardHandler)
	p, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := p.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}); err != nil {
		b.Fatal(err)
	}
	return p
}

// runPlane runs p until the benchmark ends.
func runPlane(b *testing.B, p *Plane) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}
