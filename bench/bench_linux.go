package bench

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"culvert/internal/netlab"
)

// Inner addresses of the two sites.
var (
	leftLAN, rightLAN = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")
)

// Site is the pair of hosts that a Subject joins, with a link of MTU 1500 between them (192.0.2.1 and 192.0.2.2).
type Site struct {
	Left, Right *netlab.Host
	Dir         string // scratch
}

// Subject is one way to join the two sites.
type Subject interface {
	Name() string
	// Start joins the sites, so that leftLAN reaches rightLAN, and returns the VPN's processes (none for the plain link).
	Start(ctx context.Context, s Site) ([]*netlab.Process, error)
}

// Options say what to run.
type Options struct {
	Rounds   int
	Duration time.Duration // of each measurement
	Subjects []Subject
	Progress io.Writer
}

// test is one kind of load.
type test struct {
	name    string
	streams int
}

var tests = []test{{name: "TCP, 1 stream", streams: 1}, {name: "TCP, 8 streams", streams: 8}}

// Run measures every subject in every round, one after another, the order turned by one each round, and tells its progress.
func Run(ctx context.Context, o Options) ([]Measurement, error) {
	var all []Measurement
	for round := range o.Rounds {
		for i := range o.Subjects {
			s := o.Subjects[(i+round)%len(o.Subjects)]
			m, err := measure(ctx, s, round, o.Duration)
			if err != nil {
				return all, fmt.Errorf("%s, round %d: %w", s.Name(), round+1, err)
			}
			for _, x := range m {
				fmt.Fprintf(o.Progress, "round %d/%d  %-22s %s\n", round+1, o.Rounds, x.Subject, x)
			}
			all = append(all, m...)
		}
	}
	return all, nil
}

func measure(ctx context.Context, s Subject, round int, d time.Duration) ([]Measurement, error) {
	lab, err := netlab.New()
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	site, err := newSite(lab)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(site.Dir)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	procs, err := s.Start(ctx, site)
	if err != nil {
		return nil, err
	}
	first, err := firstPacket(ctx, site, procs)
	if err != nil {
		return nil, withOutput(err, procs)
	}
	out := []Measurement{{Subject: s.Name(), Round: round, Test: FirstPacket, Milliseconds: first.Seconds() * 1000}}
	for _, t := range tests {
		// A short run first: routes, MTU and congestion window settle.
		if _, _, err := netlab.Flood(ctx, site.Left, leftLAN, site.Right, rightLAN, t.streams, d/10); err != nil {
			return nil, withOutput(err, procs)
		}
		m, err := site.flood(ctx, procs, t, d)
		if err != nil {
			return nil, withOutput(err, procs)
		}
		m.Subject, m.Round = s.Name(), round
		out = append(out, m)
	}
	return out, nil
}

// firstPacket is the time from the start of the last process (for the plain link: from now) to the first echo reply through the tunnel.
func firstPacket(ctx context.Context, s Site, procs []*netlab.Process) (time.Duration, error) {
	start := time.Now()
	if n := len(procs); n > 0 {
		start = procs[n-1].Started()
	}
	_, err := s.Left.PingUntil(ctx, leftLAN, rightLAN, 5*time.Millisecond)
	return time.Since(start), err
}

func withOutput(err error, procs []*netlab.Process) error {
	var b strings.Builder
	for _, p := range procs {
		b.WriteString(p.Output())
	}
	return fmt.Errorf("%w\n%s", err, b.String())
}

func newSite(lab *netlab.Lab) (Site, error) {
	var s Site
	var err error
	if s.Left, err = lab.Host("left"); err != nil {
		return s, err
	}
	if s.Right, err = lab.Host("right"); err != nil {
		return s, err
	}
	if err = lab.Link(netlab.Iface{Host: s.Left, Name: "wan", Addrs: []string{"192.0.2.1/24"}}, netlab.Iface{Host: s.Right, Name: "wan", Addrs: []string{"192.0.2.2/24"}}, 1500); err != nil {
		return s, err
	}
	for _, e := range []error{s.Left.LAN("lan", leftLAN.String()+"/24"), s.Right.LAN("lan", rightLAN.String()+"/24")} {
		if e != nil {
			return s, e
		}
	}
	s.Dir, err = os.MkdirTemp("", "culvert-bench-")
	return s, err
}

func (s Site) flood(ctx context.Context, procs []*netlab.Process, t test, d time.Duration) (Measurement, error) {
	vpn, machine, err := cpu(procs)
	if err != nil {
		return Measurement{}, err
	}
	octets, took, err := netlab.Flood(ctx, s.Left, leftLAN, s.Right, rightLAN, t.streams, d)
	if err != nil {
		return Measurement{}, err
	}
	vpnAfter, machineAfter, err := cpu(procs)
	gb := float64(octets) / 1e9
	return Measurement{
		Test:            t.name,
		GbitPerSecond:   gb * 8 / took.Seconds(),
		CPUPerGB:        (vpnAfter - vpn).Seconds() / gb,
		MachineCPUPerGB: (machineAfter - machine).Seconds() / gb,
	}, err
}

// cpu is the CPU time spent so far by the processes together, and by the whole machine.
func cpu(procs []*netlab.Process) (vpn, machine time.Duration, err error) {
	for _, p := range procs {
		t, err := p.CPU()
		if err != nil {
			return 0, 0, err
		}
		vpn += t
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(string(b), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return vpn, time.Duration(user+nice+system+irq+softirq) * (time.Second / 100), nil
}
