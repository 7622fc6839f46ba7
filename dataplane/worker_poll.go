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

// sleeper is how a worker learns which of its descriptors can be read, and sleeps until one can or somebody calls wake. Its sleep is an ordinary, not a raw,
// system call, so that the scheduler knows: a thread that slept by RawSyscall would hold up the next garbage collection for as long.
//
// What is read and written to wake it is an eventfd on Linux and a pipe elsewhere (openWake).
type sleeper struct {
	poller netio.Poller
	ready  func(i int) // told of each descriptor that can be read
	read   int         // the end of the wake descriptor that the worker waits for

	mu    sync.Mutex // wake may come at any time, also before open and after close
	write int
	up    bool
}

// open makes the sleeper for fds. ready is called with the place in fds of what can be read, by look and sleep.
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

// wake ends a sleep, or the next look or sleep. Any goroutine.
func (s *sleeper) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		_, _ = unix.Write(s.write, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // full means awake already
	}
}

// awakening is why a look or a sleep ended.
type awakening uint8

const (
	nothing  awakening = iota // there is nothing to do, or only a signal came
	called                    // somebody called wake, and there is nothing to read
	readable                  // something can be read, it is said
)

// look says what can be read at this moment, without waiting.
func (s *sleeper) look() (awakening, error) { return s.told(s.poller.Look()) }

// sleep is look that waits until there is something.
func (s *sleeper) sleep() (awakening, error) { return s.told(s.poller.Wait()) }

// told passes on what the poller named, which is the wake descriptor first and then the worker's.
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

// pause is a sleep that only wake and the end of d end: for descriptors that say that they are readable and are not.
func (s *sleeper) pause(d time.Duration) error {
	fds := [1]unix.PollFd{{Fd: int32(s.read), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds[:], int(d/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("dataplane: poll: %w", err)
	}
	return nil
}
