package daemon

import (
	"errors"
	"fmt"
	"net/netip"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/ike/driver"
)

// transport adapts the sockets to the driver: ESP from a socket of the control plane goes to the
// packet path.
type transport struct {
	*netio.Net
	plane *dataplane.Plane
}

// SendIKE implements driver.Transport.
func (t transport) SendIKE(local, remote netip.AddrPort, natPort bool, data []byte) error {
	return sendError(t.Net.SendIKE(local, remote, natPort, data))
}

// ProbeIKE implements driver.Transport.
func (t transport) ProbeIKE(local, remote netip.AddrPort, natPort bool, data []byte) error {
	return sendError(t.Net.ProbeIKE(local, remote, natPort, data))
}

// SendIKEInFragments implements driver.Transport.
func (t transport) SendIKEInFragments(local, remote netip.AddrPort, natPort bool, data []byte, size int) error {
	return sendError(t.Net.SendIKEInFragments(local, remote, natPort, data, size))
}

// SendKeepalive implements driver.Transport.
func (t transport) SendKeepalive(local, remote netip.AddrPort) error {
	return sendError(t.Net.SendKeepalive(local, remote))
}

// sendError translates an error of the sockets for the driver.
func sendError(err error) error {
	if errors.Is(err, netio.ErrNoRoute) {
		return fmt.Errorf("%w: %w", driver.ErrNoRoute, err)
	}
	return err
}

// ReadIKE implements driver.Transport.
func (t transport) ReadIKE(buf []byte) (n int, local, remote netip.AddrPort, natPort bool, err error) {
	var in netio.Received
	for {
		if err := t.Net.ReadIKE(buf, &in); err != nil {
			return 0, local, remote, false, err
		}
		if in.Kind == netio.IKE {
			return len(in.Data), in.Local, in.Remote, in.Encap, nil
		}
		t.plane.Deliver(&in)
	}
}
