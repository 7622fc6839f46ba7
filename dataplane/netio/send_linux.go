package netio

import (
	"time"
	"unsafe"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// maxMessages is the most messages of one sendmmsg.
const maxMessages = 64

// mmsghdr is struct mmsghdr with the layout of unix.Mmsghdr, which package unix lacks on some
// architectures.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// outbound is the content of one sendmmsg: messages for one socket, each a datagram or a run of
// equal ones that the kernel cuts (UDP_SEGMENT).
//
//	outs:      | A A A a | B | B | B | b | C |   of the caller, some laid end to end
//	messages:  | A A A a | B   B   B   b | C |   joined into runs where possible
//
// The memory does not move during a call: it is a part of the port, which lives on the heap.
type outbound struct {
	sock *socket
	n    int
	hdr  [maxMessages]mmsghdr
	iov  [maxMessages]unix.Iovec
	of   [maxMessages]parcel
	lane int                  // stackLane, or that of a packet socket
	ways [maxMessages + 1]way // a ring; one more than a call can use, so that the last one of the call before stays
	way  int                  // the last one used
}

// A parcel is the content of one message: outs[first] to outs[last] whole, or, if these are the
// same, possibly a part of it.
type parcel struct {
	data        []byte
	first, last int
	count       int  // datagrams
	size        int  // octets of each but the last, which may be shorter
	open        bool // more may join: not a part, the last is not shorter, and the kernel cuts runs for this remote
	hop         *hop // of a message past the IP stack
}

// A way is a message header for all datagrams of one path: most take the same path as the one
// before.
type way struct {
	path    ipsec.Path
	tos     uint8
	segSize int
	msg     message
}

// Send implements Port.
func (p *port) Send(outs []Outgoing) {
	if p.hops != nil {
		p.now = p.hops.now()
	}
	for i := range outs {
		out := &outs[i]
		out.Lost, out.Err = 0, nil
		s, err := p.socketFor(out)
		if err != nil {
			p.lose(out, out.Datagrams(), err)
			continue
		}
		if s.side.movedN > 0 {
			s = s.way(out)
		}
		h, lane := p.lane(s, out)
		if s != p.out.sock || lane != p.out.lane {
			p.post(outs)
			p.out.sock, p.out.lane = s, lane
		}
		p.add(outs, i, h)
	}
	p.post(outs)
}

// lose records that n datagrams of out were not sent.
func (p *port) lose(out *Outgoing, n int, err error) {
	out.Lost += n
	if out.Err == nil {
		out.Err = err
	}
	if err == errRefused {
		p.firewall.note(n, out.Path.Remote(), time.Now())
	}
	p.count.lost(n, err)
}

// add puts outs[i], which takes the hop h if there is one, into messages, the last existing one if
// it fits.
func (p *port) add(outs []Outgoing, i int, h *hop) {
	out, b := &outs[i], &p.out
	size := out.SegSize
	if size <= 0 || size > len(out.Data) {
		size = len(out.Data)
	}
	run := 1 // datagrams in a message
	if out.Path.Via() == ipsec.NAT && !out.Fragment && !p.single && !p.refused.has(out.Path.Remote().Addr()) {
		run = max(1, min(MaxSegments, MaxRun/size))
	}
	if run > 1 && b.n > 0 && b.join(outs, i, size) {
		return
	}
	for rest := out.Data; len(rest) > 0; {
		if b.n == maxMessages {
			p.post(outs)
		}
		chunk := rest[:min(run*size, len(rest))]
		rest = rest[len(chunk):]
		count := (len(chunk) + size - 1) / size
		open := run > 1 && len(chunk) == len(out.Data) && len(chunk) == count*size
		b.of[b.n] = parcel{data: chunk, first: i, last: i, count: count, size: size, open: open, hop: h}
		b.n++
	}
}

// join adds outs[i], whose datagrams have size octets, to the last message, if it follows it in
// memory and takes the same path.
func (b *outbound) join(outs []Outgoing, i, size int) bool {
	m, out := &b.of[b.n-1], &outs[i]
	count := out.Datagrams()
	if !m.open || !sameWay(&outs[m.first], out) || size > m.size || size < m.size && count > 1 {
		return false
	}
	total := len(m.data) + len(out.Data)
	if m.count+count > MaxSegments || total > MaxRun || !adjacent(m.data, out.Data) {
		return false
	}
	m.data = unsafe.Slice(&m.data[0], total)
	m.last, m.count, m.open = i, m.count+count, total == (m.count+count)*m.size
	return true
}

// adjacent reports whether b begins where a ends.
func adjacent(a, b []byte) bool {
	return uintptr(unsafe.Pointer(&a[0]))+uintptr(len(a)) == uintptr(unsafe.Pointer(&b[0]))
}

// sameWay reports whether two datagrams of one socket have the same headers.
func sameWay(a, b *Outgoing) bool {
	return a.Path == b.Path && a.TOS == b.TOS
}

// post sends the messages.
func (p *port) post(outs []Outgoing) {
	b := &p.out
	counted := b.n > 0 && len(b.sock.side.socks) > 0
	if counted {
		for i := range b.n {
			b.sock.note(outs[b.of[i].first].Path.Remote().Addr(), len(b.of[i].data))
		}
	}
	done := 0
	if b.n > 0 && b.lane != stackLane {
		done = p.postDirect(outs)
	}
	p.postStack(outs, done)
	b.n = 0
	if counted && b.sock.side.sent >= b.sock.side.size/sidingLook && b.sock.look() {
		p.count.moved.Add(1)
	}
}

// postStack sends the messages from one on through the IP stack. The kernel stops at the first
// failure, and returns its error when that message is tried again.
func (p *port) postStack(outs []Outgoing, done int) {
	b := &p.out
	for i := done; i < b.n; i++ {
		b.address(i, &outs[b.of[i].first])
	}
	told := false
	for done < b.n {
		sent, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.sock.fd), uintptr(unsafe.Pointer(&b.hdr[done])), uintptr(b.n-done),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch {
		case e == 0:
			if done += int(sent); done < b.n { // the error that stopped it may have been an earlier datagram's, and is not returned again
				b.sock.drainErrors(&p.errs)
			}
			told = false
		case !p.again(b.sock, e, &told):
			done = p.failed(outs, done, e)
			told = false
		}
	}
}

// address sets the header of message i, whose first datagram is of out.
func (b *outbound) address(i int, out *Outgoing) {
	m, segSize := &b.of[i], 0
	if m.count > 1 {
		segSize = m.size
	}
	b.iov[i].Base = &m.data[0]
	b.iov[i].SetLen(len(m.data))
	b.hdr[i].hdr = b.to(out, segSize).hdr
	b.hdr[i].hdr.Iov = &b.iov[i]
}

// to returns the header for out's path.
func (b *outbound) to(out *Outgoing, segSize int) *message {
	w := &b.ways[b.way]
	if w.path == out.Path && w.tos == out.TOS && w.segSize == segSize {
		return &w.msg
	}
	b.way = (b.way + 1) % len(b.ways)
	w = &b.ways[b.way]
	w.path, w.tos, w.segSize = out.Path, out.TOS, segSize
	w.msg.prepareSend(b.sock, out, segSize)
	return &w.msg
}

// again reports whether to repeat a send that ended with e: after an interruption, and once if e
// may belong to an ICMP error about an earlier packet. An error of its own is queued as well.
func (p *port) again(s *socket, e unix.Errno, told *bool) bool {
	switch {
	case e == unix.EINTR:
		return true
	case e == unix.EAGAIN || e == unix.ENOBUFS:
		return false
	}
	s.drainErrors(&p.errs)
	first := !*told
	*told = true
	return first
}

// failed records that message i was not sent, and returns the next one to try. A full socket takes
// no more; an error of one datagram of a run counts for the later ones as well.
func (p *port) failed(outs []Outgoing, i int, e unix.Errno) (next int) {
	b := &p.out
	m := &b.of[i]
	if m.mayGoSingly(e) {
		p.sendSingly(outs, m)
		return i + 1
	}
	for next = i; next < b.n && (e == unix.EAGAIN || b.of[next].first == m.first || next == i); next++ {
		p.loseParcel(outs, &b.of[next], sendError(e))
	}
	return next
}
