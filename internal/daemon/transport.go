package daemon

import (
	"errors"
	"fmt"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/ike/driver"
	"culvert/internal/ipsec"
)

// transport adapts the sockets to the driver: ESP from a socket of the control plane goes to the
// packet path.
type transport struct {
	*netio.Net
	plane *dataplane.Plane
}

// SendIKE implements driver.Transport.
func (t transport) SendIKE(p ipsec.Path, data []byte) error {
	return sendError(t.Net.SendIKE(p, data))
}

// ProbeIKE implements driver.Transport.
func (t transport) ProbeIKE(p ipsec.Path, data []byte) error {
	return sendError(t.Net.ProbeIKE(p, data))
}

// SendIKEInFragments implements driver.Transport.
func (t transport) SendIKEInFragments(p ipsec.Path, data []byte, size int) error {
	return sendError(t.Net.SendIKEInFragments(p, data, size))
}

// SendKeepalive implements driver.Transport.
func (t transport) SendKeepalive(p ipsec.Path) error {
	return sendError(t.Net.SendKeepalive(p))
}

// sendError translates an error of the sockets for the driver.
func sendError(err error) error {
	if errors.Is(err, netio.ErrNoRoute) {
		return fmt.Errorf("%w: %w", driver.ErrNoRoute, err)
	}
	return err
}

// ReadIKE implements driver.Transport.
func (t transport) ReadIKE(buf []byte) (n int, from ipsec.Path, err error) {
	var in netio.Received
	for {
		if err := t.Net.ReadIKE(buf, &in); err != nil {
			return 0, ipsec.Path{}, err
		}
		if in.Kind == netio.IKE {
			return len(in.Data), in.Path, nil
		}
		t.plane.Deliver(&in)
	}
}
