package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxBurst is the most messages of one recvmmsg: of IP protocol 50 they are packets. In UDP
	// each may be 64 datagrams (UDP_GRO) and far larger than the caches together, so there a burst
	// is shorter.
	maxBurst    = 32
	maxUDPBurst = 8
	// A burst aims at burstOctets and burstDatagrams, by the mean sizes of the burst before: about
	// one UDP_GRO message. More would not fit the caches and delay other workers, which open the
	// next packets at the same time but deliver them only after this burst.
	burstOctets    = 64 << 10
	burstDatagrams = 64
	// largestMessage is that of IP protocol 50 over IPv4 with its header, and more than UDP_GRO
	// makes.
	largestMessage = 65535
	// burstStride is the space of a message: the largest one, and an odd number of cache lines
	// more, so that the beginnings of the messages fall into different places of the caches. The
	// system backs only the pages that packets reach.
	burstStride = largestMessage + 1 + 25*64
)

// A burst is the memory of one recvmmsg and its undelivered messages. It lives on the heap and does
// not move.
type burst struct {
	hdr  [maxBurst]mmsghdr
	msg  [maxBurst]message // the messages' memory; their headers in use are in hdr
	data []byte
	room int // octets for each message
	from *socket
	mute bool // no control messages: the IP header has it all
	at   int  // the next message to deliver
	n    int  // the number of messages received

	aim               int // the number of messages to ask for
	octets, datagrams int // received
}

func newBurst() *burst {
	b := &burst{data: make([]byte, maxBurst*burstStride), room: largestMessage, aim: maxBurst}
	b.prepare()
	return b
}

// prepare sets everything that is the same in every call.
func (b *burst) prepare() {
	for i := range b.hdr {
		b.msg[i].prepareRecv(b.data[i*burstStride:][:b.room])
		b.hdr[i].hdr = b.msg[i].hdr
	}
}

// setMute sets whether the kernel omits the senders' addresses.
func (b *burst) setMute(mute bool) {
	b.mute = mute
	for i := range b.hdr {
		b.hdr[i].hdr.Name = b.msg[i].hdr.Name
		if mute {
			b.hdr[i].hdr.Name = nil
		}
	}
}

// receive takes the messages that wait on s, after the previous burst was delivered. A burst that
// is not full shows that no message is left.
func (b *burst) receive(s *socket) unix.Errno {
	for i := range b.n { // only these were written by the kernel
		h := &b.hdr[i].hdr
		h.Namelen, h.Flags = unix.SizeofSockaddrInet6, 0
		h.SetControllen(controlSpace)
	}
	if s.mute() != b.mute {
		b.setMute(s.mute())
	}
	most := maxUDPBurst
	if s.raw {
		most = maxBurst
	}
	if b.octets > 0 && b.datagrams > 0 {
		b.aim = max(1, min(burstOctets*b.n/b.octets, burstDatagrams*b.n/b.datagrams))
	}
	most = min(most, b.aim)
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.hdr[0])), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
	b.from, b.at, b.n, b.octets, b.datagrams = s, 0, 0, 0, 0
	if e != 0 {
		s.ready.Store(e != unix.EAGAIN)
		return e
	}
	b.n = int(n)
	s.ready.Store(b.n == most)
	return 0
}

// more reports whether there are undelivered messages.
func (b *burst) more() bool { return b.at < b.n }

// next returns the next message: its header, its memory, and its data.
func (b *burst) next() (*mmsghdr, *message, []byte) {
	i := b.at
	b.at++
	b.octets += int(b.hdr[i].len)
	return &b.hdr[i], &b.msg[i], b.data[i*burstStride:][:b.hdr[i].len]
}
