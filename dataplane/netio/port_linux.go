package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// port implements Port on Linux. Its calls are RawSyscalls: they never block, and telling the scheduler of each costs more than it
// gains (docs/design.md, section 4). Whoever loops over them must sleep in an ordinary system call.
type port struct {
	socks []*socket
	frag  []*socket // shared with the other ports: sending on them is all that is done
	at    int       // the socket that is read from until it is dry
	turns int       // datagrams read from it in a row
	rest  run       // of a coalesced run, still to be delivered; its data lies in keep
	keep  []byte

	burst *burst // nil without raw sockets
	in    *message

	out     outbound
	one     message // of a datagram that is sent by itself
	refused refusals

	count counters
	log   *slog.Logger
}

// maxTurns bounds how long one busy socket keeps the others waiting.
const maxTurns = 64

func newPort(log *slog.Logger) *port {
	return &port{in: new(message), log: log}
}

// Recv implements Port.
func (p *port) Recv(buf []byte, in *Received) error {
	if len(p.rest.data) > 0 {
		p.deliver(&p.rest, in)
		// The caller's buffer holds what Recv returns, as for every other datagram.
		in.Data = buf[:copy(buf, in.Data)]
		return nil
	}
	if len(buf) == 0 {
		return unix.EINVAL
	}
	if p.burst != nil && p.burst.more() {
		if !p.fromBurst(in) {
			return ErrWouldBlock // nothing in the rest of it; the memory must stay until the caller knows
		}
		p.turns++
		return nil
	}
	if p.turns >= maxTurns {
		p.turn()
	}
	for dry := 0; dry < len(p.socks); {
		err := p.recvFrom(p.socks[p.at], buf, in)
		if err == nil {
			p.turns++
			return nil
		}
		if !errors.Is(err, ErrWouldBlock) {
			return err
		}
		p.turn()
		dry++
	}
	return ErrWouldBlock
}

// turn goes on to the next socket.
func (p *port) turn() {
	p.turns = 0
	if p.at++; p.at >= len(p.socks) {
		p.at = 0
	}
}

// receive receives a datagram from s into in, or a burst of which the first goes there. false without an error: there was nothing in it to deliver.
func (p *port) receive(s *socket, buf []byte, in *Received) (bool, unix.Errno) {
	if s.raw {
		if e := p.burst.receive(s); e != 0 {
			return false, e
		}
		return p.fromBurst(in), 0
	}
	p.in.prepareRecv(buf)
	n, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.in.hdr)), unix.MSG_DONTWAIT)
	if e != 0 {
		return false, e
	}
	return p.take(s, p.in, buf[:n], in), 0
}

// fromBurst delivers the next packet of a burst, if there is one.
func (p *port) fromBurst(in *Received) bool {
	for m, data := p.burst.next(); m != nil; m, data = p.burst.next() {
		if p.take(p.burst.from, m, data, in) {
			in.More = p.burst.more()
			return true
		}
	}
	return false
}

// recvFrom receives from one socket. ErrWouldBlock: it is dry.
func (p *port) recvFrom(s *socket, buf []byte, in *Received) error {
	for told := false; ; {
		got, e := p.receive(s, buf, in)
		switch e {
		case 0:
			if got {
				return nil
			}
		case unix.EAGAIN:
			return ErrWouldBlock
		case unix.EBADF, unix.ENOTSOCK:
			return fmt.Errorf("netio: receiving: %w", net.ErrClosed)
		case unix.EINTR:
			continue
		default:
			s.drainErrors(p.in)
			if told {
				return fmt.Errorf("netio: receiving: %w", e)
			}
			told = true // once is enough: the queue is empty
		}
	}
}

// take makes in of a received message. False: there was nothing in it to deliver.
func (p *port) take(s *socket, m *message, data []byte, in *Received) bool {
	r := received{drops: s.drops}
	m.control(&r)
	if d := r.drops - s.drops; d > 0 {
		p.count.kernelDrops.Add(uint64(d))
		s.drops = r.drops
	}
	if m.hdr.Flags&unix.MSG_TRUNC != 0 {
		p.count.truncated.Add(1)
		return false
	}
	if s.raw {
		return p.takeRaw(s, m.remote(s.v6).Addr(), data, &r, in)
	}
	got := run{data: data, from: Received{
		Local: netip.AddrPortFrom(r.local, s.bound.Port()), Remote: m.remote(s.v6), Encap: true, TOS: r.tos,
	}}
	if r.segSize > 0 && r.segSize < len(data) {
		got.size = r.segSize
	}
	p.deliver(&got, in)
	if len(got.data) > 0 { // rare: the next buffer may be another, or this one used again
		p.keep = append(p.keep[:0], got.data...)
		p.rest = got
		p.rest.data = p.keep
	}
	return true
}

func (p *port) deliver(r *run, in *Received) {
	r.next(in)
	if in.Kind == Keepalive {
		p.count.keepalives.Add(1)
	}
}

// takeRaw makes in of a packet of IP protocol 50: with its IP header over IPv4, without over IPv6 (RFC 3542, Section 3).
func (p *port) takeRaw(s *socket, remote netip.Addr, data []byte, r *received, in *Received) bool {
	*in = Received{Kind: ESP, Data: data, TOS: r.tos,
		Local: netip.AddrPortFrom(r.local, 0), Remote: netip.AddrPortFrom(remote, 0)}
	if s.v6 {
		return true
	}
	const headerLen = 20
	if len(data) < headerLen {
		return false
	}
	n := int(data[0]&0x0f) * 4
	if n < headerLen || n > len(data) {
		return false
	}
	in.TOS, in.Data = data[1], data[n:]
	in.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[16:20])), 0)
	in.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[12:16])), 0)
	return true
}

// FDs implements Port.
func (p *port) FDs() []int {
	fds := make([]int, len(p.socks))
	for i, s := range p.socks {
		fds[i] = s.fd
	}
	return fds
}

// socketFor is the socket that out leaves by: of its kind and family, and the one bound to its source if there are several.
func (p *port) socketFor(out *Outgoing) (*socket, error) {
	v6, local := out.Remote.Addr().Is6(), out.Local.Addr()
	if len(out.Data) == 0 {
		return nil, errEmpty
	}
	if !out.Remote.Addr().IsValid() {
		return nil, errNoSocket
	}
	socks := p.socks
	if out.Fragment {
		socks = p.frag
	}
	var found *socket
	for _, s := range socks {
		if s.v6 != v6 || s.raw == out.Encap {
			continue
		}
		if bound := s.bound.Addr(); bound == local || found == nil || found.bound.Addr() != local && bound.IsUnspecified() {
			found = s
		}
	}
	switch {
	case found != nil:
		return found, nil
	case out.Encap:
		return nil, errNoSocket
	}
	return nil, errNoRaw
}

func closeAll(socks []*socket) {
	for _, s := range socks {
		unix.Close(s.fd)
		s.fd = -1
	}
}
