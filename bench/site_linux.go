package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"culvert/internal/netlab"
)

// Inner addresses of the two sites, and their networks.
var leftLAN, rightLAN = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")

const leftNet, rightNet = "10.1.0.0/16", "10.2.0.0/16"

// A Site is the pair of gateways that a Subject joins. The link between them has the MTU 1500 and
// the addresses 192.0.2.1 (left) and 192.0.2.2 (right).
type Site struct {
	Left, Right *netlab.Host
	Dir         string // for temporary files
	Peers       int    // tunnels to make; a subject that makes one only is given 1
}

// A Subject is a way to join the two sites.
type Subject interface {
	Name() string
	// Version returns the version and settings to be measured, or an error if the subject is
	// absent.
	Version(ctx context.Context) (string, error)
	// Start joins the sites, so that leftLAN reaches rightLAN, and returns the VPN's processes, the
	// initiator last; the plain link has none. Before Start, the LANs must not reach each other.
	// The processes that were started are returned with an error as well. Site.Peers is 1 unless
	// the subject is a Multiplier.
	Start(ctx context.Context, s Site) ([]*netlab.Process, error)
}

// A Multiplier is a subject that can make several tunnels: one for each remoteOf.
type Multiplier interface{ MakesMany() }

// remoteOf returns the remote address of a tunnel, from 0 on: the first is rightLAN, and none is
// the first or last of a /24, which may be its broadcast address.
func remoteOf(tunnel int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 2, byte(tunnel / 254), byte(tunnel%254 + 1)})
}

// A joined is a running subject in namespaces of its own.
type joined struct {
	Site
	near, far *netlab.Host // where the traffic begins and ends

	name  string
	lab   *netlab.Lab
	procs []*netlab.Process
	cores int           // that it was started with; 0: all
	first time.Duration // from the initiator's start to the first echo reply
	all   time.Duration // likewise to one through each tunnel
}

// join builds two sites and starts the subject between them. The caller must close the result.
func join(ctx context.Context, s Subject, l Layout) (*joined, error) {
	lab, err := netlab.New()
	if err != nil {
		return nil, err
	}
	j := &joined{name: s.Name(), lab: lab}
	if err := j.start(ctx, s, l); err != nil {
		err = withOutput(err, j.procs)
		j.close()
		return nil, err
	}
	return j, nil
}

// close stops the subject and removes namespaces and files.
func (j *joined) close() {
	j.lab.Close()
	os.RemoveAll(j.Dir)
}

func (j *joined) start(ctx context.Context, s Subject, l Layout) (err error) {
	if err := j.build(l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second+time.Duration(j.Peers)*startOfOne)
	defer cancel()
	if j.procs, err = s.Start(ctx, j.Site); err != nil {
		return err
	}
	begun := time.Now()
	if n := len(j.procs); n > 0 {
		begun = j.procs[n-1].Started()
	}
	_, err = j.near.PingUntil(ctx, leftLAN, rightLAN, time.Millisecond)
	j.first = time.Since(begun)
	if err != nil {
		return err
	}
	return j.bringUp(ctx)
}

// atOnce is the number of tunnels that are tried at the same time.
const atOnce = 8

// bringUp has every tunnel carry a packet before one is measured.
func (j *joined) bringUp(ctx context.Context) error {
	begun := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)); i < j.Peers && ctx.Err() == nil; i = int(next.Add(1)) {
				if _, err := j.near.PingUntil(ctx, leftLAN, remoteOf(i), 20*time.Millisecond); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	j.all = j.first + time.Since(begun)
	return context.Cause(ctx)
}

// startOfOne is the most time that a tunnel may take to come up among many, on a machine that has
// other work as well.
const startOfOne = 100 * time.Millisecond

// withOutput adds the last lines of the processes' output to an error.
func withOutput(err error, procs []*netlab.Process) error {
	var b strings.Builder
	for _, p := range procs {
		lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
		fmt.Fprintf(&b, "\n%s", strings.Join(lines[max(len(lines)-12, 0):], "\n"))
	}
	return fmt.Errorf("%w%s", err, b.String())
}

// A cost is the CPU time of the VPN's processes together, and of the whole machine.
type cost struct{ vpn, machine time.Duration }

func (j *joined) cost() (c cost, err error) {
	for _, p := range j.procs {
		t, err := p.CPU()
		if err != nil {
			return c, err
		}
		c.vpn += t
	}
	c.machine, err = machineCPU()
	return c, err
}

func (c cost) since(before cost) cost { return cost{c.vpn - before.vpn, c.machine - before.machine} }

// machineCPU returns the CPU time of the whole machine since its start, in steps of a hundredth of
// a second (proc_stat(5)).
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(string(b), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return time.Duration(user+nice+system+irq+softirq) * (time.Second / 100), nil
}

// peakMemory returns the sum of the processes' peak resident memory, in MiB.
func (j *joined) peakMemory() (float64, error) {
	var sum int64
	for _, p := range j.procs {
		m, err := p.PeakMemory()
		if err != nil {
			return 0, err
		}
		sum += m
	}
	return float64(sum) / (1 << 20), nil
}

// alive returns an error if a process of the subject has ended.
func (j *joined) alive() error {
	for _, p := range j.procs {
		select {
		case <-p.Done():
			return fmt.Errorf("process %d has ended", p.PID())
		default:
		}
	}
	return nil
}

// sortedCopy returns the values in ascending order, as percentile needs them.
func sortedCopy(v []time.Duration) []time.Duration { return slices.Sorted(slices.Values(v)) }
