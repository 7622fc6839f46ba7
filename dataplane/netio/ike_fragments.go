package netio

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// rawConn is a socket that sends packets with IP headers of their own, and receives none.
type rawConn struct {
	*net.IPConn
	tos, hops uint8 // that the headers have as the IKE sockets' do
}

// raws are the sockets for packets with headers made by hand; nil: not to be had.
type raws struct{ v4, v6 *rawConn }

// of returns the socket of an address' family.
func (r *raws) of(a netip.Addr) *rawConn {
	if a.Is4() {
		return r.v4
	}
	return r.v6
}

func (r *raws) close() {
	for _, c := range []*rawConn{r.v4, r.v6} {
		if c != nil {
			c.Close()
		}
	}
}

// SendIKEInFragments sends the UDP datagram that SendIKE sends, in IP packets that this host makes
// none larger than size octets: in fragments if there must be several, else as it is, in either
// case without DF (RFC 791, Section 3.2; RFC 8200, Section 4.5). It asks for no path MTU, and a size
// beyond the device's MTU is an error. Where this host translates addresses, the fragments are put
// together for that and leave no larger than they were.
//
// The local address must be there. The error is errors.ErrUnsupported without one, and where this
// process cannot have such a socket (CAP_NET_RAW; macOS). After any other error some of the
// fragments may have left.
//
// No path has to make packets smaller of 1280 octets over IPv6 (RFC 8200, Section 5), and of 68 over
// IPv4 (RFC 791, Section 3.2). Fragments that are smaller without need are what some hosts drop.
func (n *Net) SendIKEInFragments(local, remote netip.AddrPort, natPort bool, data []byte, size int) error {
	src, remote := local.Addr().Unmap(), unmapPort(remote)
	raw := n.raws.of(remote.Addr())
	if raw == nil || !src.IsValid() || src.IsUnspecified() || src.Is4() != remote.Addr().Is4() {
		return errors.ErrUnsupported
	}
	c := pick(n.of(natPort), src, remote.Addr())
	if c == nil {
		n.sendErrors.Add(1)
		return errNoSocket
	}
	// From such a socket Linux would send IPv4 packets with any source.
	if n.LinkMTU(src, remote.Addr()) == 0 {
		return n.failed(unix.ENETUNREACH, remote)
	}
	if natPort {
		data = append(make([]byte, markerLen, markerLen+len(data)), data...)
	}
	d := datagram{src: at(src, c.bound.Port()), dst: remote, tos: raw.tos, hops: raw.hops, id: newID()}
	packets, err := d.packets(data, size)
	if err != nil {
		return err
	}
	return n.sendRaw(raw, &d, packets)
}

// sendRaw sends the packets of a datagram until one cannot be sent.
func (k *ikeSide) sendRaw(raw *rawConn, d *datagram, packets [][]byte) error {
	to := &net.IPAddr{IP: d.dst.Addr().AsSlice(), Zone: d.dst.Addr().Zone()}
	// By this the kernel chooses the route: it does not look at the header's source.
	source := sourceControl(d.src.Addr(), d.dst.Addr())
	for _, p := range packets {
		if _, _, err := raw.WriteMsgIP(p, source, to); err != nil {
			return k.failed(err, d.dst)
		}
	}
	return nil
}

// newID returns an identification that nobody can guess (RFC 7739). Its lower half is
// not zero, in the place of which Linux puts for each IPv4 packet another.
func newID() uint32 {
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // it ends the process rather than fail
		if id := binary.BigEndian.Uint32(b[:]); uint16(id) != 0 {
			return id
		}
	}
}
