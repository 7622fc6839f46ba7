package driver

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNewcomersAreNiced runs one job of each backlog: only that of a newcomer runs on a thread of
// low priority.
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
	p.newcomers.jobs <- job{run: nice}
	if got := (<-p.results).value; got != lowNice {
		t.Errorf("a newcomer's job runs with nice %v, want %v", got, lowNice)
	}
	close(done)
	workers.Wait()
}
