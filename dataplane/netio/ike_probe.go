package netio

import (
	"errors"

	"culvert/internal/ipsec"
)

// ProbeIKE is SendIKE of a message that IP must not fragment: over IPv4 it has DF (RFC 791, Section
// 3.1), and over IPv6, where only the sender fragments (RFC 8200, Section 5), it has no Fragment
// header. A message too large for the first hop is an error, whatever path MTU the kernel knows.
// Where CanProbeIKE is false, the error is errors.ErrUnsupported.
func (k *ikeSide) ProbeIKE(p ipsec.Path, data []byte) error {
	if !CanProbeIKE {
		return errors.ErrUnsupported
	}
	c, err := k.pick(p)
	if err != nil {
		return err
	}
	k.whole.Lock()
	defer k.whole.Unlock()
	if err := c.fragments(false); err != nil {
		return errors.Join(err, c.fragments(true))
	}
	err = k.sendTo(p, marked(p, data))
	return errors.Join(err, c.fragments(true))
}
