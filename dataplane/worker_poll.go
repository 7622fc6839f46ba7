//go:build unix

package dataplane

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio"
)

// A sleeper tells a worker which of its descriptors are readable, and sleeps until one is or until
// a call of wake. The sleep is an ordinary, not a raw, system call, so that the scheduler knows of
// it: a thread asleep in RawSyscall would delay the next garbage collection until it wakes.
//
// The wake descriptor is an eventfd on Linux and a pipe elsewhere (openWake).
type sleeper struct {
	poller netio.Poller
	ready  func(i int) // called for each readable descriptor
	read   int         // the end of the wake descriptor that the worker polls

	mu    sync.Mutex // wake may be called at any time, before open and after close as well
	write int
	up    bool
}

// open prepares the sleeper for fds. look and sleep call ready with the index in fds of each
// readable descriptor.
func (s *sleeper) open(fds []int, ready func(i int)) error {
	read, write, err := openWake()
	if err != nil {
		return fmt.Errorf("dataplane: cannot make the descriptor that wakes a worker: %w", err)
	}
	if err := s.poller.Open(append([]int{read}, fds...)); err != nil {
		closeWake(read, write)
		return err
	}
	s.ready = ready
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.write, s.up = read, write, true
	return nil
}

func (s *sleeper) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return
	}
	s.up = false
	s.poller.Close()
	closeWake(s.read, s.write)
}

func closeWake(read, write int) {
	unix.Close(read)
	if write != read {
		unix.Close(write)
	}
}

// wake ends the current sleep, or else the next look or sleep. Any goroutine may call it.
func (s *sleeper) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		_, _ = unix.Write(s.write, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // a full descriptor already wakes the worker
	}
}

// An awakening is why a look or a sleep ended.
type awakening uint8

const (
	nothing  awakening = iota // nothing to do, or only a signal
	called                    // by wake, with nothing to read
	readable                  // a descriptor was reported readable
)

// look reports the descriptors that are readable now, without waiting.
func (s *sleeper) look() (awakening, error) { return s.told(s.poller.Look()) }

// sleep is look, but waits until there is something to report.
func (s *sleeper) sleep() (awakening, error) { return s.told(s.poller.Wait()) }

// told reports the descriptors that the poller named: the wake descriptor is 0, the worker's
// follow.
func (s *sleeper) told(named []int, err error) (awakening, error) {
	why := nothing
	for _, i := range named {
		if i == 0 {
			var b [64]byte
			_, _ = unix.Read(s.read, b[:])
			why = max(why, called)
			continue
		}
		s.ready(i - 1)
		why = readable
	}
	return why, err
}

// pause sleeps until wake or for d. It is for descriptors that are reported readable but are not.
func (s *sleeper) pause(d time.Duration) error {
	fds := [1]unix.PollFd{{Fd: int32(s.read), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds[:], int(d/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("dataplane: poll: %w", err)
	}
	return nil
}
