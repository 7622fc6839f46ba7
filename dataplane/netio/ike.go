package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ikeSide is the control plane's half of a Net: the IKE port's sockets, and on each listen address a socket of the NAT port that only
// sends. All methods may be called from any goroutine.
type ikeSide struct {
	conns []*ikeConn // IKE port
	nat   []*ikeConn // NAT port, for sending
	in    chan datagram
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	truncated  atomic.Uint64
	sendErrors atomic.Uint64
}

// ikeConn is one socket and the address that it is bound to.
type ikeConn struct {
	*net.UDPConn
	bound netip.AddrPort
}

type datagram struct {
	data          []byte
	local, remote netip.AddrPort
}

const (
	// ikeBacklog bounds the datagrams that wait for ReadIKE; what comes above waits in the kernel and is dropped there.
	ikeBacklog = 64
	// maxControl holds the packet-info and TOS control messages of a datagram.
	maxControl = 256
)

func newIKESide() *ikeSide {
	return &ikeSide{in: make(chan datagram, ikeBacklog), done: make(chan struct{})}
}

// start begins to read the IKE port.
func (k *ikeSide) start() {
	for _, c := range k.conns {
		k.wg.Go(func() { k.read(c) })
	}
}

// read passes on what c receives until it is closed.
func (k *ikeSide) read(c *ikeConn) {
	buf, oob := make([]byte, 65535), make([]byte, maxControl)
	for failures := 0; ; {
		n, oobn, _, remote, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if failures++; failures > 10 && k.pause() { // a device that is going away: no busy loop
				return
			}
			continue
		}
		failures = 0
		local := netip.AddrPortFrom(localAddr(oob[:oobn], c.bound.Addr()), c.bound.Port())
		d := datagram{data: append([]byte(nil), buf[:n]...), local: local, remote: unmapPort(remote)}
		select {
		case k.in <- d:
		case <-k.done:
			return
		}
	}
}

// pause waits a little; true: closed meanwhile.
func (k *ikeSide) pause() bool {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-k.done:
		return true
	}
}

// ReadIKE waits for the next datagram on the IKE port and copies it to buf. It ends with net.ErrClosed after Close. (IKE that comes on
// the NAT port comes through Port.Recv.)
func (k *ikeSide) ReadIKE(buf []byte) (n int, local, remote netip.AddrPort, err error) {
	for {
		select {
		case <-k.done:
			return 0, local, remote, net.ErrClosed
		case d := <-k.in:
			if len(d.data) > len(buf) {
				k.truncated.Add(1)
				continue
			}
			return copy(buf, d.data), d.local, d.remote, nil
		}
	}
}

// SendIKE sends an IKE message from local, of which only the address counts and may be missing, to remote; from the NAT port with the
// non-ESP marker if natPort is set. Large messages are fragmented by IP. It never blocks for long.
func (k *ikeSide) SendIKE(local, remote netip.AddrPort, natPort bool, data []byte) error {
	conns := k.conns
	if natPort {
		conns = k.nat
		data = append(make([]byte, markerLen, markerLen+len(data)), data...)
	}
	return k.sendTo(conns, local, remote, data)
}

// SendKeepalive sends a NAT-keepalive (RFC 3948, Section 4) from the NAT port.
func (k *ikeSide) SendKeepalive(local, remote netip.AddrPort) error {
	return k.sendTo(k.nat, local, remote, []byte{0xff})
}

func (k *ikeSide) sendTo(conns []*ikeConn, local, remote netip.AddrPort, data []byte) error {
	remote = unmapPort(remote)
	src := local.Addr().Unmap()
	c := pick(conns, src, remote.Addr())
	if c == nil {
		k.sendErrors.Add(1)
		return errNoSocket
	}
	_, _, err := c.WriteMsgUDPAddrPort(data, sourceControl(src, remote.Addr()), remote)
	if err != nil {
		k.sendErrors.Add(1)
		return fmt.Errorf("netio: sending IKE to %s: %w", remote, err)
	}
	return nil
}

// pick is the socket to send to remote by: the one bound to the source, else one bound to all, else any of the family.
func pick(conns []*ikeConn, src, remote netip.Addr) *ikeConn {
	var found *ikeConn
	for _, c := range conns {
		bound := c.bound.Addr()
		if bound.Is4() != remote.Is4() {
			continue
		}
		if bound == src {
			return c
		}
		if found == nil || bound.IsUnspecified() {
			found = c
		}
	}
	return found
}

func unmapPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// close ends the readers and every call that waits.
func (k *ikeSide) close() {
	k.once.Do(func() {
		close(k.done)
		for _, c := range append(k.conns, k.nat...) {
			c.Close()
		}
		k.wg.Wait()
	})
}
