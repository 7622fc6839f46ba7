package netio

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// ikeSide is the control plane's half of a Net: a socket of the IKE port and one of the NAT port on
// each listen address. Both have receive buffers of their own, so that a flood of ESP takes no room
// from IKE. All methods are safe for concurrent use.
type ikeSide struct {
	conns []*ikeConn // IKE port
	nat   []*ikeConn // NAT port
	in    chan Received
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	whole       sync.RWMutex // held for writing while a socket sends with DF
	raws        raws
	firewall    *firewall
	truncated   atomic.Uint64
	sendErrors  atomic.Uint64
	kernelDrops atomic.Uint64
	keepalives  atomic.Uint64
	received    atomic.Uint64 // IKE datagrams
}

// ikeConn is one socket and its bound address.
type ikeConn struct {
	*net.UDPConn
	bound  netip.AddrPort
	nat    bool   // of the NAT port
	shared bool   // a worker reads it
	drops  uint32 // the kernel's last count of drops; the reader's
}

const (
	// ikeBacklog bounds the datagrams that wait for ReadIKE; the excess waits in the kernel, which
	// drops it when full.
	ikeBacklog = 64
	// maxControl holds the packet-info and TOS control messages of a datagram.
	maxControl = 256
)

func newIKESide(f *firewall) *ikeSide {
	return &ikeSide{firewall: f, in: make(chan Received, ikeBacklog), done: make(chan struct{})}
}

// start begins to read.
func (k *ikeSide) start() {
	for _, c := range slices.Concat(k.conns, k.nat) {
		if !c.shared {
			k.wg.Go(func() { k.read(c) })
		}
	}
}

// read passes the datagrams of c on until it is closed.
func (k *ikeSide) read(c *ikeConn) {
	buf, oob := make([]byte, 65535), make([]byte, maxControl)
	for failures := 0; ; {
		n, oobn, _, remote, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if failures++; failures > 10 && k.pause() { // the device may be going away: avoid a busy loop
				return
			}
			continue
		}
		failures = 0
		told := received{local: c.bound.Addr(), drops: c.drops}
		told.read(oob[:oobn])
		k.kernelDrops.Add(uint64(told.drops - c.drops))
		c.drops = told.drops
		if !k.sort(c, remote, buf[:n], &told) {
			return
		}
	}
}

// sort passes the datagrams of one receive on: on the NAT port they may be several of any kind
// (UDP_GRO). It returns false if the side was closed meanwhile.
func (k *ikeSide) sort(c *ikeConn, remote netip.AddrPort, data []byte, told *received) bool {
	from := Received{Kind: IKE, Path: ipsec.NewPath(c.via(), at(told.local, c.bound.Port()), remote, 0), TOS: told.tos}
	if !c.nat {
		return k.put(from, data)
	}
	for r := (run{from: from, data: data, size: told.segSize}); ; {
		var d Received
		r.next(&d)
		if d.Kind == Keepalive {
			k.keepalives.Add(1)
		} else if !k.put(d, d.Data) {
			return false
		}
		if len(r.data) == 0 {
			return true
		}
	}
}

// put hands d with a copy of data to ReadIKE. It returns false if the side was closed meanwhile.
func (k *ikeSide) put(d Received, data []byte) bool {
	if d.Kind == IKE {
		k.received.Add(1)
	}
	d.Data = bytes.Clone(data)
	select {
	case k.in <- d:
		return true
	case <-k.done:
		return false
	}
}

// pause waits a little, and reports whether the side was closed meanwhile.
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

// ReadIKE waits for the next datagram of the control plane's sockets and copies it to buf. It is
// IKE, or ESP that the kernel had coalesced with an IKE message before it (UDP_GRO), which belongs
// to the packet path. An IKE message that was coalesced with ESP before it comes through Port.Recv
// instead. After Close, ReadIKE returns net.ErrClosed.
func (k *ikeSide) ReadIKE(buf []byte, in *Received) error {
	for {
		select {
		case <-k.done:
			return net.ErrClosed
		case d := <-k.in:
			if len(d.Data) > len(buf) {
				k.truncated.Add(1)
				continue
			}
			*in = d
			in.Data = buf[:copy(buf, d.Data)]
			return nil
		}
	}
}

// SendIKE sends an IKE message on a path, of which our port does not count; from the NAT port it
// sends the non-ESP marker as well. IP fragments large messages. SendIKE blocks at most briefly.
func (k *ikeSide) SendIKE(p ipsec.Path, data []byte) error {
	k.whole.RLock()
	defer k.whole.RUnlock()
	return k.sendTo(p, marked(p, data))
}

// marked returns an IKE message as it leaves on a path.
func marked(p ipsec.Path, data []byte) []byte {
	if p.Via() != ipsec.NAT {
		return data
	}
	return append(make([]byte, markerLen, markerLen+len(data)), data...)
}

// SendKeepalive sends a NAT-keepalive (RFC 3948, Section 4).
func (k *ikeSide) SendKeepalive(p ipsec.Path) error {
	k.whole.RLock()
	defer k.whole.RUnlock()
	return k.sendTo(p, []byte{0xff})
}

// sendTo sends one datagram. k.whole is held.
func (k *ikeSide) sendTo(p ipsec.Path, data []byte) error {
	c, err := k.pick(p)
	if err != nil {
		return err
	}
	remote := p.Remote()
	if _, _, err := c.WriteMsgUDPAddrPort(data, sourceControl(p.Local().Addr(), remote.Addr()), remote); err != nil {
		return k.failed(err, remote)
	}
	return nil
}

// failed counts a failure to send to remote and returns its error, an ipsec.SendError if the host
// refused to send.
func (k *ikeSide) failed(err error, remote netip.AddrPort) error {
	why := Obstacle(err)
	switch {
	case errors.Is(err, unix.EPERM):
		k.firewall.note(1, remote, time.Now())
		return &ipsec.SendError{Why: why, Err: fmt.Errorf("%w: %s", errRefused, k.firewall.remedy())}
	case noRoute(err):
		err = fmt.Errorf("%w: %w", ErrNoRoute, err)
	}
	k.sendErrors.Add(1)
	err = fmt.Errorf("netio: sending IKE to %s: %w", remote, err)
	if why == ipsec.NoObstacle {
		return err
	}
	return &ipsec.SendError{Why: why, Err: err}
}

// pick returns the socket for a path: the one bound to its local address, else one bound to all
// addresses, else any of the family. An error is counted.
func (k *ikeSide) pick(p ipsec.Path) (found *ikeConn, err error) {
	for _, c := range slices.Concat(k.conns, k.nat) {
		bound := c.bound.Addr()
		if c.via() != p.Via() || !p.IsValid() || bound.Is6() != p.Is6() {
			continue
		}
		if bound == p.Local().Addr() {
			return c, nil
		}
		if found == nil || bound.IsUnspecified() {
			found = c
		}
	}
	if found == nil {
		k.sendErrors.Add(1)
		return nil, errNoSocket
	}
	return found, nil
}

// via returns the transport of the socket's datagrams.
func (c *ikeConn) via() *ipsec.Transport {
	if c.nat {
		return ipsec.NAT
	}
	return ipsec.UDP
}

// close ends the readers and every waiting call.
func (k *ikeSide) close() {
	k.once.Do(func() {
		close(k.done)
		for _, c := range slices.Concat(k.conns, k.nat) {
			c.Close()
		}
		k.raws.close()
		k.wg.Wait()
	})
}
