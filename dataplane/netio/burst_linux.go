package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxBurst is how many packets of IP protocol 50 one recvmmsg takes. UDP needs none of this: there UDP_GRO brings many in one datagram.
	maxBurst = 32
	// burstStride is the space of each: the largest packet, and an odd number of cache lines more, so that the beginnings of all do not fall into the same
	// places of the caches. Memory that no packet ever reaches is never backed by any.
	burstStride = 65535 + 1 + 25*64
)

// burst is the memory of one recvmmsg, and the packets in it that are still to be delivered.
type burst struct {
	hdr  [maxBurst]mmsghdr
	msg  [maxBurst]message
	data []byte
	from *socket
	at   int  // the next to be delivered
	n    int  // how many came
	dry  bool // there were no more: the next look would be in vain, and is left to poll
}

func newBurst() *burst {
	return &burst{data: make([]byte, maxBurst*burstStride), at: maxBurst, n: maxBurst}
}

// receive takes what waits on s. All of the burst before must have been delivered.
func (b *burst) receive(s *socket) unix.Errno {
	if b.dry && b.from == s {
		b.dry = false
		return unix.EAGAIN
	}
	for i := range b.n { // the kernel has written into these alone
		b.msg[i].prepareRecv(b.packet(i))
		b.hdr[i].hdr = b.msg[i].hdr
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.hdr[0])), maxBurst, unix.MSG_DONTWAIT, 0, 0)
	b.from, b.at, b.n, b.dry = s, 0, 0, false
	if e == 0 {
		b.n, b.dry = int(n), n < maxBurst
	}
	return e
}

// packet is the space of one packet.
func (b *burst) packet(i int) []byte { return b.data[i*burstStride:][:65535] }

// more says whether packets are still to be delivered.
func (b *burst) more() bool { return b.at < b.n }

// next is the next packet and its message, or nil.
func (b *burst) next() (*message, []byte) {
	if !b.more() {
		return nil, nil
	}
	i := b.at
	b.at++
	b.msg[i].hdr = b.hdr[i].hdr
	return &b.msg[i], b.packet(i)[:b.hdr[i].len]
}
