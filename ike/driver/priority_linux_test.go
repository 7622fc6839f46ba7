package driver

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNewcomersAreNiced runs one job of each backlog: those of newcomers run on threads of low
// priority, none beside the packet path at equal weight.
func TestNewcomersAreNiced(t *testing.T) {
	p, done := newPool(), make(chan struct{})
	var workers sync.WaitGroup
	p.start(1, done, workers.Go)
	nice := func() any {
		prio, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		if err != nil {
			return err
		}
		return 20 - prio // the system call returns 40 to 1 for nice values of -20 to 19
	}
	own := nice()
	p.established.jobs <- job{run: nice}
	if got := (<-p.results).value; got != own {
		t.Errorf("a job of an established SA runs with nice %v, want %v", got, own)
	}
	p.proved.jobs <- job{run: nice}
	if got := (<-p.results).value; got != promptNice {
		t.Errorf("a job of a newcomer that has proved itself runs with nice %v, want %v", got, promptNice)
	}
	p.newcomers.jobs <- job{run: nice}
	if got := (<-p.results).value; got != lowNice {
		t.Errorf("a newcomer's job runs with nice %v, want %v", got, lowNice)
	}
	p.newcomers.quick <- job{run: nice}
	if got := (<-p.results).value; got != promptNice {
		t.Errorf("a newcomer's quick job runs with nice %v, want %v", got, promptNice)
	}
	close(done)
	workers.Wait()
}
