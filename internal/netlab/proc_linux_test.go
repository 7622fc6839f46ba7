package netlab

import (
	"context"
	"os"
	"testing"
	"time"
)

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
