package netio

import (
	"errors"
	"net/netip"
)

// ProbeIKE is SendIKE of a message that IP must not fragment: over IPv4 it has DF (RFC 791, Section
// 3.1), and over IPv6, where only the sender fragments (RFC 8200, Section 5), it has no Fragment
// header. A message too large for the first hop is an error, whatever path MTU the kernel knows.
// Where CanProbeIKE is false, the error is errors.ErrUnsupported.
func (k *ikeSide) ProbeIKE(local, remote netip.AddrPort, natPort bool, data []byte) error {
	c := pick(k.of(natPort), local.Addr().Unmap(), remote.Addr().Unmap())
	switch {
	case !CanProbeIKE:
		return errors.ErrUnsupported
	case c == nil:
		k.sendErrors.Add(1)
		return errNoSocket
	}
	k.whole.Lock()
	defer k.whole.Unlock()
	if err := c.fragments(false); err != nil {
		return errors.Join(err, c.fragments(true))
	}
	err := k.sendIKE(local, remote, natPort, data)
	return errors.Join(err, c.fragments(true))
}
