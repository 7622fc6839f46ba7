package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxBurst is how many messages one recvmmsg takes: packets of IP protocol 50, one each. In UDP each may be 64 datagrams (UDP_GRO) and far larger than the caches together,
	// so there a burst is shorter.
	maxBurst    = 32
	maxUDPBurst = 8
	// A burst aims at so many octets and datagrams, as the one before had them: what UDP_GRO makes one message of. More would only be worse for the caches, and for
	// other workers, which open what came next at the same time but pass it on only after all of this.
	burstOctets    = 64 << 10
	burstDatagrams = 64
	// largestMessage is that of IP protocol 50 over IPv4, its header included, and more than UDP_GRO makes.
	largestMessage = 65535
	// burstStride is the space of each: the largest message, and an odd number of cache lines more, so that the beginnings of all do not fall into the same
	// places of the caches. Memory that no packet ever reaches is never backed by any.
	burstStride = largestMessage + 1 + 25*64
)

// burst is the memory of one recvmmsg, and the messages in it that are still to be delivered. It does not move: it lives on the heap.
type burst struct {
	hdr  [maxBurst]mmsghdr
	msg  [maxBurst]message // their memory; the headers in use are those in hdr
	data []byte
	room int // for each message
	from *socket
	mute bool // the kernel is not asked for what the IP header says
	at   int  // the next to be delivered
	n    int  // how many came

	aim               int // how many may come
	octets, datagrams int // that came
}

func newBurst() *burst {
	b := &burst{data: make([]byte, maxBurst*burstStride), room: largestMessage, aim: maxBurst}
	b.prepare()
	return b
}

// prepare sets what stays the same from call to call.
func (b *burst) prepare() {
	for i := range b.hdr {
		b.msg[i].prepareRecv(b.data[i*burstStride:][:b.room])
		b.hdr[i].hdr = b.msg[i].hdr
	}
}

// setMute asks the kernel for the senders' addresses, or not.
func (b *burst) setMute(mute bool) {
	b.mute = mute
	for i := range b.hdr {
		b.hdr[i].hdr.Name = b.msg[i].hdr.Name
		if mute {
			b.hdr[i].hdr.Name = nil
		}
	}
}

// receive takes what waits on s. All of the burst before must have been delivered. A burst that is not full says that there is no more.
func (b *burst) receive(s *socket) unix.Errno {
	for i := range b.n { // the kernel has written into these alone
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

// more says whether messages are still to be delivered.
func (b *burst) more() bool { return b.at < b.n }

// next is the next message: its header, its memory, and its data.
func (b *burst) next() (*mmsghdr, *message, []byte) {
	i := b.at
	b.at++
	b.octets += int(b.hdr[i].len)
	return &b.hdr[i], &b.msg[i], b.data[i*burstStride:][:b.hdr[i].len]
}
