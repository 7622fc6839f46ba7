package netio

import (
	"errors"

	"golang.org/x/sys/unix"
)

// CanProbeIKE reports whether ProbeIKE works.
const CanProbeIKE = true

// fragments sets whether IP may fragment the packets of the socket.
func (c *ikeConn) fragments(may bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	v6 := c.bound.Addr().Is6()
	cerr := raw.Control(func(fd uintptr) {
		if !may {
			err = pathOptions(int(fd), v6)
			return
		}
		if err = fragmentOptions(int(fd), v6); err == nil && v6 {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_DONTFRAG, 0)
		}
	})
	return errors.Join(err, cerr)
}
