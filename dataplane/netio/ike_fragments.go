package netio

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// A rawConn is a socket that sends packets with given IP headers, and receives nothing.
type rawConn struct {
	*net.IPConn
	tos, hops uint8 // in the headers, as the IKE sockets have them
}

// raws are the sockets for packets with given headers; nil: not available.
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

// SendIKEInFragments sends the UDP datagram of SendIKE in IP packets of at most size octets: in
// fragments if there must be several, otherwise whole, in either case without DF (RFC 791, Section
// 3.2; RFC 8200, Section 4.5). The kernel's path MTU does not matter; a size beyond the device's
// MTU is an error. Where this host translates addresses, the translation reassembles the fragments,
// and they leave no larger than before.
//
// The local address is required. Without it, and where this process cannot have such a socket
// (CAP_NET_RAW; macOS), the error is errors.ErrUnsupported. After any other error some of the
// fragments may have left.
//
// Every path carries packets of 1280 octets over IPv6 (RFC 8200, Section 5), and of 68 over IPv4
// (RFC 791, Section 3.2). Some hosts drop fragments that are smaller than necessary.
func (n *Net) SendIKEInFragments(p ipsec.Path, data []byte, size int) error {
	src, remote := p.Local().Addr(), p.Remote()
	raw := n.raws.of(remote.Addr())
	if raw == nil || !src.IsValid() || src.IsUnspecified() || src.Is4() != remote.Addr().Is4() {
		return errors.ErrUnsupported
	}
	c, err := n.pick(p)
	if err != nil {
		return err
	}
	// From a raw socket Linux would send IPv4 packets with any source.
	if n.LinkMTU(src, remote.Addr()) == 0 {
		return n.failed(unix.ENETUNREACH, remote)
	}
	d := datagram{src: at(src, c.bound.Port()), dst: remote, tos: raw.tos, hops: raw.hops, id: newID()}
	packets, err := d.packets(marked(p, data), size)
	if err != nil {
		return err
	}
	return n.sendRaw(raw, &d, packets)
}

// sendRaw sends the packets of a datagram until one fails.
func (k *ikeSide) sendRaw(raw *rawConn, d *datagram, packets [][]byte) error {
	to := &net.IPAddr{IP: d.dst.Addr().AsSlice(), Zone: d.dst.Addr().Zone()}
	// The kernel chooses the route by this control message: it does not look at the header's
	// source.
	source := sourceControl(d.src.Addr(), d.dst.Addr())
	for _, p := range packets {
		if _, _, err := raw.WriteMsgIP(p, source, to); err != nil {
			return k.failed(err, d.dst)
		}
	}
	return nil
}

// newID returns an unpredictable identification (RFC 7739). Its lower half is not zero, because
// Linux replaces a zero identification of IPv4 in each packet.
func newID() uint32 {
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // rand.Read ends the process rather than fail
		if id := binary.BigEndian.Uint32(b[:]); uint16(id) != 0 {
			return id
		}
	}
}
