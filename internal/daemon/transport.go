package daemon

import (
	"net/netip"

	"culvert/dataplane"
	"culvert/dataplane/netio"
)

// transport is the sockets as the control plane knows them: ESP that came to one of its own goes on to the packet path.
type transport struct {
	*netio.Net
	plane *dataplane.Plane
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
