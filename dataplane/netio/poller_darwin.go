package netio

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Poller finds the readable descriptors by poll. It is for one thread.
type Poller struct {
	fds   []unix.PollFd
	named []int
}

// Open begins to watch fds.
func (p *Poller) Open(fds []int) error {
	p.fds, p.named = p.fds[:0], make([]int, 0, len(fds))
	for _, fd := range fds {
		p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return nil
}

// Close ends watching. It does not close the descriptors.
func (p *Poller) Close() {}

// Look returns the indices in fds of the readable descriptors, without waiting; valid until the
// next call.
func (p *Poller) Look() ([]int, error) { return p.poll(0) }

// Wait is Look that waits until there is one.
func (p *Poller) Wait() ([]int, error) { return p.poll(-1) }

func (p *Poller) poll(ms int) ([]int, error) {
	p.named = p.named[:0]
	if _, err := unix.Poll(p.fds, ms); err != nil {
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			return p.named, nil
		}
		return nil, fmt.Errorf("netio: poll: %w", err)
	}
	for i := range p.fds {
		if p.fds[i].Revents != 0 {
			p.named = append(p.named, i)
		}
	}
	return p.named, nil
}
