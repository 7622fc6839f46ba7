package netio

import (
	"testing"

	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// A bell that nobody rang is silent, and can be stilled.
func TestBell(t *testing.T) {
	netlab.Need(t)
	b, err := newBell()
	if err != nil {
		t.Skip("no BPF ring buffers here: ", err)
	}
	defer b.close()
	b.still()
	fds := []unix.PollFd{{Fd: int32(b.fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
		t.Errorf("poll = %d, %v of a bell that is silent", n, err)
	}
}
