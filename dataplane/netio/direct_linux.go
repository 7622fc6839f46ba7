package netio

import (
	"fmt"
	"unsafe"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// Packets of protocol 50 pass by the IP stack where their first hop is known (hopCache): with
// Ethernet and IP headers of our own they go to the device's queue by a packet socket (AF_PACKET),
// in half the time. Everything else about them is as by the raw socket: the mark, the priority in
// the queue, the send buffers of peers behind slow devices (sidings). Both sockets hand packets to
// the same queue before their system call returns, so that a change between them does not reorder
// those of a worker.

// stackLane is the lane of messages through the IP stack; the others are 1 and a priority more.
const stackLane = 0

// A bypass is the packet socket beside a raw one.
type bypass struct {
	fd       int
	priority int // SO_PRIORITY now
}

// frames is the memory of the headers of one sendmmsg.
type frames struct {
	head [maxMessages][headLen]byte
	iov  [maxMessages][2]unix.Iovec // headers, and the message
}

// recent is the entry that was used last.
type recent struct {
	table *hopTable
	path  ipsec.Path
	tos   uint8
	entry *entry
}

// openDirect opens the packet sockets beside the raw sockets of the ports, and the cache of first
// hops. Where the system has none, all goes through the IP stack.
func (n *Net) openDirect(cfg *Config) {
	if !cfg.FastPath || !n.rawESP {
		return
	}
	if n.direct = n.tryOpenDirect(cfg); n.direct != nil {
		n.log.Info("protocol 50 is sent through the IP stack", "event", "fast-path", "error", n.direct)
		return
	}
	for _, p := range n.ports {
		p.hops, p.frames = n.hops, new(frames)
	}
	n.hops.start()
}

func (n *Net) tryOpenDirect(cfg *Config) error {
	h, err := openHopCache(cfg.Mark, n.inlet.takesAt, n.log)
	if err != nil {
		return err
	}
	for _, s := range n.rawSockets() {
		if s.bypass, err = openBypass(s, cfg.Mark); err != nil {
			h.close()
			n.closeBypasses()
			return err
		}
		if !s.v6 {
			h.ttl = s.fd
		}
	}
	n.hops = h
	return nil
}

// closeBypasses closes the packet sockets that are open.
func (n *Net) closeBypasses() {
	for _, s := range n.rawSockets() {
		s.bypass.close()
		s.bypass = nil
	}
}

// rawSockets are those of the ports for protocol 50, with their sidings.
func (n *Net) rawSockets() (list []*socket) {
	for _, p := range n.ports {
		for _, s := range p.socks {
			if s.raw {
				list = append(append(list, s), s.side.socks...)
			}
		}
	}
	return list
}

// openBypass opens the packet socket beside s. It receives nothing.
func openBypass(s *socket, mark uint32) (*bypass, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("netio: a packet socket: %w", err)
	}
	if mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark))
	}
	if err == nil && s.v6 {
		// Its packets have no flow label. With one, those of the raw socket could take another way
		// through the network.
		err = unix.SetsockoptInt(s.fd, unix.SOL_IPV6, unix.IPV6_AUTOFLOWLABEL, 0)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netio: a packet socket: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	}
	return &bypass{fd: fd}, nil
}

func (b *bypass) close() {
	if b != nil {
		unix.Close(b.fd)
	}
}

// lane returns the first hop of a datagram from s and its lane, or none and the IP stack's.
func (p *port) lane(s *socket, out *Outgoing) (*hop, int) {
	if s.bypass == nil || out.Fragment {
		return nil, stackLane
	}
	size := out.SegSize
	if size <= 0 || size > len(out.Data) {
		size = len(out.Data)
	}
	if e := p.entry(out); e != nil {
		visits, h := e.visits(p.now), e.hop.Load()
		switch {
		case h == nil && visits:
			p.hops.want(e.key)
		case h == nil || !h.fits(size):
		case visits:
			return nil, stackLane
		default:
			return h, 1 + priorityOf(s.v6, out.TOS)
		}
	}
	p.count.fallback.Add(uint64(out.Datagrams()))
	return nil, stackLane
}

// entry returns the entry of a datagram, and asks for it if there is none but room for it.
func (p *port) entry(out *Outgoing) *entry {
	t, r := p.hops.table.Load(), &p.recent
	if r.table == t && r.tos == out.TOS && r.path == out.Path {
		return r.entry
	}
	k, ok := keyOf(out.Path.Local().Addr(), out.Path.Remote().Addr(), out.TOS)
	if !ok {
		return nil
	}
	e := t.entries[k]
	if e == nil {
		if len(t.entries) < maxEntries {
			p.hops.want(k)
		}
		return nil
	}
	*r = recent{t, out.Path, out.TOS, e}
	return e
}

// priorityOf returns the priority that the kernel gives to a raw packet: over IPv4 by four of its
// TOS bits as of old (RFC 1349), of which the lowest does not matter.
func priorityOf(v6 bool, tos uint8) int {
	const bestEffort, bulk, interactive, interactiveBulk = 0, 2, 6, 4 // TC_PRIO_
	if v6 {
		return bestEffort
	}
	return [4]int{bestEffort, bulk, interactive, interactiveBulk}[tos>>3&3]
}

// postDirect sends the messages by the packet socket, and returns the first one that is left for
// the raw socket.
func (p *port) postDirect(outs []Outgoing) (done int) {
	b := &p.out
	s := b.sock.bypass
	if !s.use(b.lane - 1) {
		return 0
	}
	for i := range b.n {
		p.frames.address(b, i, outs[b.of[i].first].TOS)
	}
	for done < b.n {
		sent, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.hdr[done])), uintptr(b.n-done),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			p.count.direct.Add(uint64(sent))
			done += int(sent)
		case unix.EINTR:
		case unix.ENOBUFS, unix.EAGAIN:
			// The device's queue or the send buffer is full: a raw socket tells both so.
			p.loseParcel(outs, &b.of[done], errNoBuffers)
			done++
		default: // the device is down or gone, or has another MTU
			p.hops.doubt(int(b.of[done].hop.name.Ifindex))
			return done
		}
	}
	return done
}

// use sets the priority of what is sent next.
func (s *bypass) use(priority int) bool {
	if s.priority == priority {
		return true
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priority) != nil {
		return false
	}
	s.priority = priority
	return true
}

// address sets the header of message i.
func (f *frames) address(b *outbound, i int, tos uint8) {
	m, iov := &b.of[i], &f.iov[i]
	head := m.hop.put(&f.head[i], tos, len(m.data))
	iov[0].Base = &head[0]
	iov[0].SetLen(len(head))
	iov[1].Base = &m.data[0]
	iov[1].SetLen(len(m.data))
	h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.hop.name)), Namelen: unix.SizeofSockaddrLinklayer, Iov: &iov[0]}
	h.Iovlen = 2
	b.hdr[i].hdr = h
}
