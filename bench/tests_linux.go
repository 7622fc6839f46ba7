package bench

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"culvert/internal/netlab"
)

// measures are the tests by name. Each measures for the duration d and returns values by
// Metric.Key.
var measures = map[string]func(ctx context.Context, j *joined, d time.Duration) (map[string]float64, error){
	tcp1:    tcp(func(j *joined) []netlab.Flow { return []netlab.Flow{j.rightwards(1)} }),
	tcp8:    tcp(func(j *joined) []netlab.Flow { return j.overAll(8) }),
	tcpBoth: tcp(func(j *joined) []netlab.Flow { return []netlab.Flow{j.rightwards(1), j.leftwards(1)} }),
	udp64:   udp(64),
	udp512:  udp(512),
	udp1400: udp(1400),
	imix:    udp(64, 512, 64, 64, 512, 64, 1400, 64, 512, 64, 512, 64),
	idle:    latency,
	loaded: func(ctx context.Context, j *joined, d time.Duration) (map[string]float64, error) {
		load, err := netlab.StartLoad(ctx, j.rightwards(1))
		if err != nil {
			return nil, err
		}
		defer load.Stop()
		if err := settle(ctx, load, d); err != nil {
			return nil, err
		}
		return latency(ctx, j, d)
	},
}

func (j *joined) rightwards(streams int) netlab.Flow {
	return netlab.Flow{From: j.near, To: j.far, Src: leftLAN, Dst: rightLAN, Streams: streams}
}

func (j *joined) leftwards(streams int) netlab.Flow {
	return netlab.Flow{From: j.far, To: j.near, Src: rightLAN, Dst: leftLAN, Streams: streams}
}

// overAll returns the flows of the streams to the right, each over a tunnel of its own as far as
// there are enough.
func (j *joined) overAll(streams int) []netlab.Flow {
	if j.Peers == 1 {
		return []netlab.Flow{j.rightwards(streams)}
	}
	flows := make([]netlab.Flow, streams)
	for i := range flows {
		flows[i] = j.rightwards(1)
		flows[i].Dst = remoteOf(i * j.Peers / streams)
	}
	return flows
}

// wait returns after d, or earlier with the context's error.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits for the first octets, and then for congestion windows, path MTU and receive buffers
// to reach their sizes.
func settle(ctx context.Context, load *netlab.Load, d time.Duration) error {
	first, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := netlab.Until(first, "the first octets", func() bool { return load.Octets() > 0 }); err != nil {
		return err
	}
	return wait(ctx, d/8)
}

// tcp returns a test of the flows' total throughput and its cost.
func tcp(flows func(j *joined) []netlab.Flow) func(context.Context, *joined, time.Duration) (map[string]float64, error) {
	return func(ctx context.Context, j *joined, d time.Duration) (map[string]float64, error) {
		load, err := netlab.StartLoad(ctx, flows(j)...)
		if err != nil {
			return nil, err
		}
		defer load.Stop()
		if err := settle(ctx, load, d); err != nil {
			return nil, err
		}
		before, err := j.cost()
		if err != nil {
			return nil, err
		}
		octets, begun := load.Octets(), time.Now()
		if err := wait(ctx, d); err != nil {
			return nil, err
		}
		gb, took := float64(load.Octets()-octets)/1e9, time.Since(begun)
		after, err := j.cost()
		if err != nil {
			return nil, err
		}
		if gb == 0 {
			return nil, fmt.Errorf("nothing arrived in %v", took)
		}
		spent := after.since(before)
		return j.values(map[Metric]float64{Throughput: gb * 8 / took.Seconds(), VPNCPU: spent.vpn.Seconds() / gb, MachineCPU: spent.machine.Seconds() / gb}), nil
	}
}

// values returns figures by Metric.Key, for the plain link without those of a VPN.
func (j *joined) values(of map[Metric]float64) map[string]float64 {
	out := map[string]float64{}
	for m, v := range of {
		if len(j.procs) > 0 || m != VPNCPU && m != VPNCPUPacket && m != PeakMemory {
			out[m.Key] = v
		}
	}
	return out
}

// datagrams opens the sockets for datagrams over all tunnels.
func (j *joined) datagrams() (*netlab.Datagrams, error) {
	if j.Peers == 1 {
		return netlab.NewDatagrams(j.near, leftLAN, j.far, rightLAN)
	}
	to := make([]netip.Addr, j.Peers)
	for i := range to {
		to[i] = remoteOf(i)
	}
	return netlab.NewDatagramsToMany(j.near, leftLAN, j.far, to)
}

// udp returns a test for the highest rate with less than 0.1% loss of datagrams whose sizes are
// taken in turn.
func udp(sizes ...int) func(context.Context, *joined, time.Duration) (map[string]float64, error) {
	return func(ctx context.Context, j *joined, d time.Duration) (map[string]float64, error) {
		path, err := j.datagrams()
		if err != nil {
			return nil, err
		}
		defer path.Close()
		s := Search{First: 8000, Least: 100, MaxLoss: 0.001, Resolution: 0.04, Trial: trialLength(d), Confirm: d / 2, Trials: 40}
		t, err := s.Highest(func(rate float64, d time.Duration) (Trial, error) { return j.try(ctx, path, rate, sizes, d) })
		if err != nil {
			return nil, err
		}
		if t.Received == 0 {
			return map[string]float64{PacketRate.Key: 0}, nil // no rate passed
		}
		us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(t.Received) }
		of := func(n uint64) float64 { return float64(n) / float64(t.Sent) }
		return j.values(map[Metric]float64{PacketRate: t.Delivered(), Loss: t.Loss(), Reordered: of(t.Reordered), ReceiverDropped: of(t.Overflowed),
			VPNCPUPacket: us(t.VPN), MachinePacket: us(t.Machine)}), nil
	}
}

func (j *joined) try(ctx context.Context, path *netlab.Datagrams, rate float64, sizes []int, d time.Duration) (Trial, error) {
	before, err := j.cost()
	if err != nil {
		return Trial{}, err
	}
	c, err := path.Run(ctx, rate, sizes, d)
	if err != nil {
		return Trial{}, err
	}
	after, err := j.cost()
	spent := after.since(before)
	return Trial{Rate: rate, Sent: c.Sent, Received: c.Received, Reordered: c.Reordered, Overflowed: c.Overflowed, Took: c.Took, Span: c.Span, VPN: spent.vpn, Machine: spent.machine}, err
}

// pingRate is the number of echo requests per second.
const pingRate = 1000

func latency(ctx context.Context, j *joined, d time.Duration) (map[string]float64, error) {
	rtts, lost, err := j.near.Pings(ctx, leftLAN, rightLAN, pingRate, d)
	if err != nil {
		return nil, err
	}
	if len(rtts) == 0 {
		return nil, fmt.Errorf("none of %d echo requests was answered", lost)
	}
	v := sortedCopy(rtts)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	return j.values(map[Metric]float64{P50: us(percentile(v, 0.5)), P99: us(percentile(v, 0.99)), Loss: float64(lost) / float64(lost+len(rtts))}), nil
}
