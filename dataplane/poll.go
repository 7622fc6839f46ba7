//go:build unix

package dataplane

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is how a worker sleeps until its descriptors have something to read or somebody calls wake. Its sleep is an ordinary, not a raw, system call, so that
// the scheduler knows: a thread that slept by RawSyscall would hold up the next garbage collection for as long.
//
// What is read and written to wake it is an eventfd on Linux and a pipe elsewhere (openWake).
type sleeper struct {
	fds []unix.PollFd // the first is the wake descriptor; the worker's

	mu    sync.Mutex // wake may come at any time, also before open and after close
	write int
	up    bool
}

// open makes the sleeper for fds.
func (s *sleeper) open(fds []int) error {
	read, write, err := openWake()
	if err != nil {
		return fmt.Errorf("dataplane: cannot make the descriptor that wakes a worker: %w", err)
	}
	s.fds = append(s.fds[:0], unix.PollFd{Fd: int32(read), Events: unix.POLLIN})
	for _, fd := range fds {
		s.fds = append(s.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write, s.up = write, true
	return nil
}

func (s *sleeper) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return
	}
	s.up = false
	unix.Close(int(s.fds[0].Fd))
	if s.write != int(s.fds[0].Fd) {
		unix.Close(s.write)
	}
}

// wake ends a sleep, or the next one. Any goroutine.
func (s *sleeper) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		_, _ = unix.Write(s.write, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // full means awake already
	}
}

// sleep returns when there is something to read, which it reports, or somebody has called wake, or a signal came.
func (s *sleeper) sleep() (readable bool, err error) {
	if err := poll(s.fds, -1); err != nil {
		return false, err
	}
	for i := range s.fds[1:] {
		readable = readable || s.fds[i+1].Revents != 0
	}
	return readable, nil
}

// pause is a sleep that only wake and the end of d end: for descriptors that say that they are readable and are not.
func (s *sleeper) pause(d time.Duration) error { return poll(s.fds[:1], int(d/time.Millisecond)) }

// poll waits and takes the wake-ups that have come.
func poll(fds []unix.PollFd, ms int) error {
	_, err := unix.Poll(fds, ms)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		for i := range fds { // the kernel has not written them
			fds[i].Revents = 0
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("dataplane: poll: %w", err)
	}
	if fds[0].Revents != 0 {
		var b [64]byte
		_, _ = unix.Read(int(fds[0].Fd), b[:])
	}
	return nil
}
