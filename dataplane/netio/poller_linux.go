package netio

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Poller finds the readable descriptors by epoll. It is for one thread. The kernel's work in poll
// grows with the descriptors, five for a worker with both families; an empty look by epoll costs
// little more than a system call (BenchmarkLook: a quarter to a half of poll's).
type Poller struct {
	fd     int
	events []unix.EpollEvent
	named  []int
}

// Open begins to watch fds.
func (p *Poller) Open(fds []int) error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("netio: epoll: %w", err)
	}
	for i, member := range fds {
		// Level-triggered: a descriptor that was not read dry, or cannot be, is reported again.
		// Epoll keeps its index in fds.
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, member, &e); err != nil {
			unix.Close(fd)
			return fmt.Errorf("netio: epoll of descriptor %d: %w", member, err)
		}
	}
	p.fd, p.events, p.named = fd, make([]unix.EpollEvent, len(fds)), make([]int, 0, len(fds))
	return nil
}

// Close ends watching. It does not close the descriptors.
func (p *Poller) Close() { unix.Close(p.fd) }

// Look returns the indices in fds of the readable descriptors, without waiting; valid until the
// next call. It is a raw system call, since it does not block.
func (p *Poller) Look() ([]int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	if e != 0 {
		return p.list(0, e)
	}
	return p.list(int(n), nil)
}

// Wait is Look that waits for one, or for a signal. It is an ordinary system call, so that the
// scheduler knows of the wait.
func (p *Poller) Wait() ([]int, error) { return p.list(unix.EpollWait(p.fd, p.events, -1)) }

func (p *Poller) list(n int, err error) ([]int, error) {
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil, nil
		}
		return nil, fmt.Errorf("netio: epoll: %w", err)
	}
	p.named = p.named[:0]
	for _, e := range p.events[:n] {
		p.named = append(p.named, int(e.Fd))
	}
	return p.named, nil
}
