package netlab

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsg is struct mmsghdr of <sys/socket.h>.
type mmsg struct {
	hdr unix.Msghdr
	n   uint32 // octets sent or received
	_   [4]byte
}

// msgs are the datagrams of one sendmmsg or recvmmsg, each with a buffer and room for the control
// messages of a received one.
type msgs struct {
	hdrs     []mmsg
	iovs     []unix.Iovec
	bufs     [][]byte
	controls [][]byte
}

// newMsgs makes room for count datagrams of size octets, each with control octets for control
// messages.
func newMsgs(count, size, control int) *msgs {
	m := &msgs{hdrs: make([]mmsg, count), iovs: make([]unix.Iovec, count), bufs: make([][]byte, count), controls: make([][]byte, count)}
	for i := range m.hdrs {
		m.bufs[i] = make([]byte, size)
		m.iovs[i].Base = &m.bufs[i][0]
		m.iovs[i].SetLen(size)
		m.hdrs[i].hdr.Iov = &m.iovs[i]
		m.hdrs[i].hdr.SetIovlen(1)
		if control > 0 {
			m.controls[i] = make([]byte, control)
			m.hdrs[i].hdr.Control = &m.controls[i][0]
		}
	}
	return m
}

// address sets where the i-th datagram goes, on a socket that is not connected. The address is used
// by send.
func (m *msgs) address(i int, to *unix.RawSockaddrInet4) {
	m.hdrs[i].hdr.Name = (*byte)(unsafe.Pointer(to))
	m.hdrs[i].hdr.Namelen = uint32(unsafe.Sizeof(*to))
}

// send sends the first n and returns the number sent.
func (m *msgs) send(fd, n int) (int, error) {
	r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdrs[0])), uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// receive takes the waiting datagrams without blocking, and returns their number. A datagram longer
// than its buffer is cut off.
func (m *msgs) receive(fd int) (int, error) {
	for i := range m.hdrs {
		m.hdrs[i].hdr.SetControllen(len(m.controls[i]))
	}
	r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdrs[0])), uintptr(len(m.hdrs)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(r), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// text returns the buffered octets of the i-th received datagram, and control its control messages.
func (m *msgs) text(i int) []byte    { return m.bufs[i][:m.hdrs[i].n] }
func (m *msgs) control(i int) []byte { return m.controls[i][:m.hdrs[i].hdr.Controllen] }

// socketDrops returns the number of datagrams that the kernel dropped because the socket's receive
// buffer was full.
func socketDrops(fd int) (uint64, error) {
	var info [9]uint32 // SK_MEMINFO_VARS of <linux/sock_diag.h>; the last is SK_MEMINFO_DROPS
	n := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return 0, errno
	}
	return uint64(info[8]), nil
}
