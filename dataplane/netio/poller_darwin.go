package netio

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Poller is which descriptors can be read. It is for one thread. It waits by poll.
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

// Close ends that. It does not close the descriptors.
func (p *Poller) Close() {}

// Look is the places in fds of what can be read, without waiting; valid until the next call.
func (p *Poller) Look() ([]int, error) { return p.poll(0) }

// Wait is Look that waits until there is something.
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
