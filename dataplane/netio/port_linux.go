package netio

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// port implements Port on Linux. Its calls are RawSyscalls: they never block, and informing the
// scheduler of each costs more than it gains (docs/decisions.md, section 4). A loop over them must
// sleep in an ordinary system call.
type port struct {
	socks   []*socket // to send
	heard   []*socket // those of them that receive
	sources []*socket // to send, from other ports than the NAT port
	frag    []*socket // shared with the other ports, and only used to send
	at      int       // of heard, the one that was read last, by any port

	burst *burst
	rest  run // the undelivered rest of a coalesced message

	failure error // of a receive, not yet returned

	bell      *bell                // of the ring; nil: there will be none
	ring      atomic.Pointer[ring] // nil: not yet
	ringBurst ringBurst            // of any port's ring
	ringFirst bool                 // the ring's turn is before the sockets', at any port

	out     outbound
	one     message // of a datagram sent by itself
	errs    message // of ICMP errors
	refused refusals
	single  bool // datagrams are sent one by one, without UDP_SEGMENT

	hops   *hopCache // the Net's; nil: everything goes through the IP stack
	frames *frames   // with hops
	recent recent
	now    int64 // of hops, at the begin of Send

	count    counters
	firewall *firewall // the Net's
	log      *slog.Logger
}

func newPort(f *firewall, cfg *Config) *port {
	return &port{burst: newBurst(), single: cfg.NoOffloads, firewall: f, log: f.log}
}

// Ready implements Port.
func (p *port) Ready(i int) {
	if i == len(p.heard) {
		p.bell.still()
		return
	}
	p.heard[i].ready.Store(true)
}

// Recv implements Port. The data is in the port's own memory.
func (p *port) Recv(_ []byte, in *Received) error { return p.recv(p, in) }

// RecvFor implements Helper, with the sockets of host and the memory of p.
func (p *port) RecvFor(host Port, _ []byte, in *Received) error {
	h, ok := host.(*port)
	if !ok {
		return errStranger
	}
	return p.recv(h, in)
}

// recv receives from the sockets of host, unless an undelivered part of a burst is left.
func (p *port) recv(host *port, in *Received) error {
	r := host.ring.Load()
	if p.ringBurst.more() {
		p.takeRing(in)
		return nil
	}
	if p.leads(host, r, in) {
		return nil
	}
	if len(p.rest.data) > 0 {
		p.deliver(in)
		return nil
	}
	if p.burst.more() {
		if !p.fromBurst(in) {
			return ErrWouldBlock // its rest had no packet; the memory must stay until the caller knows
		}
		return nil
	}
	p.ringBurst.finish()
	return p.recvNew(host, r, in)
}

// recvNew receives a burst from the ring or a socket of host, in turn. A failure of a socket is
// returned when all others and the ring are dry: who heard of it and slept would miss what they
// have, and no bell would ring.
func (p *port) recvNew(host *port, r *ring, in *Received) error {
	host.settle(r)
	if host.ringFirst = !host.ringFirst; host.ringFirst && p.recvRing(host, r, burstDatagrams, in) {
		return nil
	}
	for again := true; again; again = host.settle(r) {
		for s := host.next(); s != nil; s = host.next() {
			got, err := p.recvFrom(s, host, r, in)
			switch {
			case got || errors.Is(err, net.ErrClosed):
				return err
			case err != nil:
				p.failure = err
			}
		}
		r.settled()
		if p.recvRing(host, r, burstDatagrams, in) {
			return nil
		}
	}
	err := cmp.Or(p.failure, ErrWouldBlock)
	p.failure = nil
	return err
}

// next returns the next socket that may have packets, in turn: the others wait for one burst at
// most.
func (p *port) next() *socket {
	for range p.heard {
		if p.at++; p.at >= len(p.heard) {
			p.at = 0
		}
		if s := p.heard[p.at]; s.ready.Load() {
			return s
		}
	}
	return nil
}

// recvFrom receives a burst from s and delivers its first packet into in. It returns false without
// an error if there was none. If the packets in the ring beside s are older, they come first.
func (p *port) recvFrom(s *socket, host *port, r *ring, in *Received) (bool, error) {
	for told := false; ; {
		switch e := p.burst.receive(s); e {
		case 0:
			if !s.ready.Load() {
				s.emptied()
			}
			return p.leads(host, r, in) || p.fromBurst(in), nil
		case unix.EAGAIN:
			s.emptied()
			s.drainErrors(&p.errs) // poll may have reported it for these alone
			return false, nil
		case unix.EBADF, unix.ENOTSOCK:
			return false, fmt.Errorf("netio: receiving: %w", net.ErrClosed)
		case unix.EINTR:
			continue
		default:
			s.drainErrors(&p.errs)
			if told {
				s.ready.Store(false) // until poll reports it again
				return false, fmt.Errorf("netio: receiving: %w", e)
			}
			told = true // draining once is enough: the queue is empty
		}
	}
}

// fromBurst delivers the next packet of a burst, if there is one.
func (p *port) fromBurst(in *Received) bool {
	for p.burst.more() {
		if p.take(in) {
			return true
		}
	}
	return false
}

// take delivers the next message of the burst. It returns false if there was no packet in it.
func (p *port) take(in *Received) bool {
	s := p.burst.from
	h, m, data := p.burst.next()
	r := received{drops: s.drops}
	r.parse(m.ctl[:min(int(h.hdr.Controllen), controlSpace)])
	if d := r.drops - s.drops; d > 0 {
		p.count.kernelDrops.Add(uint64(d))
		s.drops = r.drops
	}
	if h.hdr.Flags&unix.MSG_TRUNC != 0 {
		p.count.truncated.Add(1)
		return false
	}
	p.burst.datagrams++
	if s.noteReceived(data) {
		p.count.shed.Add(1)
	}
	if s.raw {
		return p.takeRaw(s, m, data, &r, in)
	}
	p.rest = run{data: data, from: Received{Path: ipsec.NATPath(at(r.local, s.bound.Port()), m.remote(s.v6)), TOS: r.tos}}
	if r.segSize > 0 && r.segSize < len(data) {
		p.rest.size = r.segSize
		p.burst.datagrams += len(data) / r.segSize
	}
	p.deliver(in)
	return true
}

// deliver delivers the leading datagrams of one kind of the rest.
func (p *port) deliver(in *Received) {
	p.rest.next(in)
	in.More = len(p.rest.data) > 0 || p.burst.more()
	if in.Kind == Keepalive {
		p.count.keepalives.Add(1)
	}
}

// takeRaw fills in from a packet of IP protocol 50: with its IP header over IPv4, without over IPv6
// (RFC 3542, Section 3).
func (p *port) takeRaw(s *socket, m *message, data []byte, r *received, in *Received) bool {
	if s.v6 {
		*in = Received{Kind: ESP, Data: data, TOS: r.tos, More: p.burst.more(), Path: ipsec.RawPath(r.local, m.remote(true).Addr())}
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
	*in = Received{Kind: ESP, Data: data[n:], TOS: data[1], More: p.burst.more(),
		Path: ipsec.RawPath(netip.AddrFrom4([4]byte(data[16:20])), netip.AddrFrom4([4]byte(data[12:16])))}
	return true
}

// FDs implements Port.
func (p *port) FDs() []int {
	fds := make([]int, len(p.heard), len(p.heard)+1)
	for i, s := range p.heard {
		fds[i] = s.fd
	}
	if p.bell != nil {
		fds = append(fds, p.bell.fd())
	}
	return fds
}

// addSocket gives the port a socket.
func (p *port) addSocket(s *socket) {
	p.socks = append(p.socks, s)
	if !s.deaf {
		p.heard = append(p.heard, s)
	}
}

// socketFor returns the socket for out: of its kind and family, and bound to its source if there
// are several.
func (p *port) socketFor(out *Outgoing) (*socket, error) {
	v6, local, raw := out.Path.Is6(), out.Path.Local().Addr(), out.Path.Via() == ipsec.Raw
	if len(out.Data) == 0 {
		return nil, errEmpty
	}
	if !out.Path.IsValid() || !raw && out.Path.Via() != ipsec.NAT {
		return nil, errNoSocket
	}
	socks := p.socks
	if out.Fragment {
		socks = p.frag
	}
	if len(p.sources) > 0 {
		if s := p.sourceOf(out); s != nil {
			return s, nil
		}
	}
	var found *socket
	for _, s := range socks {
		if s.v6 == v6 && s.raw == raw && s.serves(local, found) {
			found = s
		}
	}
	switch {
	case found != nil:
		return found, nil
	case raw:
		return nil, errNoRaw
	}
	return nil, errNoSocket
}

// serves reports whether s is the socket for packets from local, rather than another one.
func (s *socket) serves(local netip.Addr, other *socket) bool {
	bound := s.bound.Addr()
	return bound == local || other == nil || other.bound.Addr() != local && bound.IsUnspecified()
}
