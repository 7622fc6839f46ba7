package netlab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pings is a series of echo requests.
type pings struct {
	fd    int
	sent  []time.Time // by sequence number
	rtts  []time.Duration
	m     *msgs
	ident uint64
}

// Pings sends rate IPv4 echo requests per second for the given time. It returns the round-trip
// times of the replies, in order, and the number of missing replies. A time runs from just before
// the request goes to the kernel until the kernel's own time stamp of the reply, and the remote
// kernel answers: it does not include the waking of a program, which on a busy machine takes longer
// than the network.
func (h *Host) Pings(ctx context.Context, src, dst netip.Addr, rate int, length time.Duration) (rtts []time.Duration, lost int, err error) {
	// Echo sockets are allowed to the groups of this range, which is empty in a new namespace.
	if err := h.Sysctl("ipv4/ping_group_range", "0 0"); err != nil {
		return nil, 0, err
	}
	err = h.Do(func() error {
		p := &pings{m: newMsgs(64, 64, 64), ident: uint64(time.Now().UnixNano())}
		if err := p.open(src, dst); err != nil {
			return err
		}
		defer unix.Close(p.fd)
		err := p.run(ctx, rate, length)
		rtts, lost = p.rtts, len(p.sent)-len(p.rtts)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("%s: echo from %s to %s: %w", h.Name, src, dst, err)
	}
	return rtts, lost, nil
}

func (p *pings) open(src, dst netip.Addr) (err error) {
	if p.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) },
		func() error { return unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) },
		func() error { return unix.Bind(p.fd, &unix.SockaddrInet4{Addr: src.As4()}) },
		func() error { return unix.Connect(p.fd, &unix.SockaddrInet4{Addr: dst.As4()}) },
	} {
		if err := step(); err != nil {
			unix.Close(p.fd)
			return err
		}
	}
	return nil
}

// run sends by an absolute schedule and takes replies in between; they carry their own time.
func (p *pings) run(ctx context.Context, rate int, length time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	interval := time.Second / time.Duration(rate)
	for begun := time.Now(); time.Since(begun) < length; {
		if err := p.send(); err != nil {
			return err
		}
		if err := p.take(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A request that is late by more than an interval is skipped: the next one keeps its time.
		sleep(interval - time.Since(begun)%interval)
	}
	for quiet := 0; quiet < 100 && len(p.rtts) < len(p.sent); quiet++ {
		sleep(5 * time.Millisecond)
		had := len(p.rtts)
		if err := p.take(); err != nil {
			return err
		}
		if len(p.rtts) > had {
			quiet = 0
		}
	}
	return nil
}

// The echo header of RFC 792 (the kernel writes identifier and checksum), then the series and the
// number.
const (
	echoRequest = 8
	echoHeader  = 8
	echoLen     = echoHeader + 16
)

func (p *pings) send() error {
	var b [echoLen]byte
	b[0] = echoRequest
	binary.BigEndian.PutUint64(b[echoHeader:], p.ident)
	binary.BigEndian.PutUint64(b[echoHeader+8:], uint64(len(p.sent)))
	p.sent = append(p.sent, time.Now().Round(0)) // the wall clock, as in the kernel's time stamps
	_, err := unix.Write(p.fd, b[:])
	if err == unix.ENOBUFS {
		return nil // lost
	}
	return err
}

// take takes the waiting replies.
func (p *pings) take() error {
	n, err := p.m.receive(p.fd)
	for i := range n {
		b := p.m.text(i)
		if len(b) < echoLen || binary.BigEndian.Uint64(b[echoHeader:]) != p.ident {
			continue
		}
		at, ok := timestamp(p.m.control(i))
		seq := binary.BigEndian.Uint64(b[echoHeader+8:])
		if !ok || seq >= uint64(len(p.sent)) {
			return fmt.Errorf("reply %d of %d without a time or a request", seq, len(p.sent))
		}
		p.rtts = append(p.rtts, at.Sub(p.sent[seq]))
	}
	return err
}

// timestamp returns the time of arrival from control messages.
func timestamp(control []byte) (time.Time, bool) {
	list, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, c := range list {
		if c.Header.Level == unix.SOL_SOCKET && c.Header.Type == unix.SCM_TIMESTAMPNS && len(c.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(c.Data)), int64(binary.NativeEndian.Uint64(c.Data[8:]))), true
		}
	}
	return time.Time{}, false
}
