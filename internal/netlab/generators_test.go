//go:build linux

package netlab

import (
	"context"
	"os"
	"testing"
	"time"
)

// twoHosts returns two linked hosts, and the wire between them if one is asked for.
func twoHosts(t *testing.T, wire bool) (a, b *Host, w *Wire) {
	t.Helper()
	l := Need(t)
	a, b = must(l.Host("a"))(t), must(l.Host("b"))(t)
	ia, ib := Iface{a, "wan", []string{left.String() + "/24"}}, Iface{b, "wan", []string{right.String() + "/24"}}
	if wire {
		return a, b, must(l.Wire(ia, ib, 1500, 1))(t)
	}
	if err := l.Link(ia, ib, 1500); err != nil {
		t.Fatal(err)
	}
	return a, b, nil
}

func TestLoadGoesBothWaysAndEnds(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l := must(StartLoad(ctx, Flow{a, b, left, right, 2}, Flow{b, a, right, left, 1}))(t)
	if err := Until(ctx, "octets", func() bool { return l.Octets() > 1<<20 }); err != nil {
		t.Error(err)
	}
	l.Stop()
	if n := l.Octets(); n != l.Octets() {
		t.Error("octets arrive after Stop")
	}
}

func TestLoadWithoutAWayFails(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	if err := a.SetLink("wan", false); err != nil {
		t.Fatal(err)
	}
	if l, err := StartLoad(t.Context(), Flow{a, b, left, right, 1}); err == nil {
		l.Stop()
		t.Error("a load over a link that is down")
	}
}

func TestDatagramsCountWhatIsLost(t *testing.T) {
	a, b, w := twoHosts(t, true)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	for _, drop := range []float64{0, 0.3} {
		w.Impair(Impairment{Drop: drop})
		c := must(d.Run(t.Context(), 5000, 100, 200*time.Millisecond))(t)
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
	if c := must(d.Run(t.Context(), 5000, 100, 200*time.Millisecond))(t); c.Reordered == 0 || c.Received != c.Sent {
		t.Errorf("got %+v", c)
	}
}

func TestDatagramsEndWithTheContext(t *testing.T) {
	a, b, _ := twoHosts(t, false)
	d := must(NewDatagrams(a, left, b, right))(t)
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Run(ctx, 1000, 64, time.Hour); err == nil {
		t.Error("no error")
	}
}

func TestPings(t *testing.T) {
	a, _, w := twoHosts(t, true)
	rtts, lost, err := a.Pings(t.Context(), left, right, 1000, 100*time.Millisecond)
	if err != nil || lost != 0 || len(rtts) < 20 || len(rtts) > 101 {
		t.Fatalf("%d replies, %d lost, %v", len(rtts), lost, err)
	}
	for _, rtt := range rtts {
		if rtt <= 0 || rtt > time.Second {
			t.Errorf("a round trip took %v", rtt)
		}
	}
	w.Impair(Impairment{Drop: 0.5})
	if rtts, lost, err = a.Pings(t.Context(), left, right, 1000, 100*time.Millisecond); err != nil || lost == 0 || len(rtts) == 0 {
		t.Errorf("%d replies, %d lost, %v; half of the requests and half of the replies are dropped", len(rtts), lost, err)
	}
}

func TestProcessTellsItsCost(t *testing.T) {
	l := Need(t)
	h := must(l.Host("a"))(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := must(h.Start([]string{"NETLAB_SPIN=1"}, nil, self))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var cpu time.Duration
	if err := Until(ctx, "50 ms of CPU time", func() bool {
		now, err := p.CPU()
		if err != nil || now < cpu {
			t.Fatalf("%v after %v: %v", now, cpu, err)
		}
		cpu = now
		return cpu > 50*time.Millisecond
	}); err != nil {
		t.Error(err)
	}
	if m, err := p.PeakMemory(); err != nil || m < 1<<20 || m > 1<<30 {
		t.Errorf("peak memory %d, %v", m, err)
	}
	p.Kill()
	if _, err := p.CPU(); err == nil {
		t.Error("the CPU time of a process that is gone")
	}
	if _, err := p.PeakMemory(); err == nil {
		t.Error("the memory of a process that is gone")
	}
}

// TestMain only spins if a test has started this program as a process to measure.
func TestMain(m *testing.M) {
	for os.Getenv("NETLAB_SPIN") != "" {
	}
	os.Exit(m.Run())
}
