package tun

import (
	"culvert/tun/gso"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPieces is the greatest number of pieces of one Write: IOV_MAX less the header.
const maxPieces = 1023

var (
	errPieces   = errors.New("tun: too many pieces in one packet")
	errStranger = errors.New("tun: a queue of another device")
)

// A queue is one queue of the device. It uses RawSyscall: the calls never block, and notifying the
// scheduler of each costs more than it gains (docs/decisions.md, section 4). A loop over them must
// sleep in an ordinary system call.
type queue struct {
	fd   int
	vnet bool // a virtio-net header precedes each packet
	can  gso.Offloads
	gso  *gsoRefusals // of the device
	to   int          // the descriptor of the current write
	call func(fd int, iov []unix.Iovec) unix.Errno

	hdr   [gso.VnetLen]byte
	iov   []unix.Iovec
	plain gso.Splitter // for super-packets that the kernel does not take
}

func (q *queue) FD() int { return q.fd }

// Read implements Queue. The virtio-net header goes into the last octets of the headroom. A
// headroom below its 10 octets counts as 10.
func (q *queue) Read(buf []byte, headroom int, p *gso.Packet) error {
	return q.readFrom(q.fd, buf, headroom, p)
}

// ReadFor implements Helper. The queues of one device differ only in their descriptors.
func (q *queue) ReadFor(host Queue, buf []byte, headroom int, p *gso.Packet) error {
	h, ok := host.(*queue)
	if !ok {
		return errStranger
	}
	return q.readFrom(h.fd, buf, headroom, p)
}

// readFrom reads from the queue with the descriptor fd.
func (q *queue) readFrom(fd int, buf []byte, headroom int, p *gso.Packet) error {
	if !q.vnet {
		n, err := read(fd, buf[headroom:])
		if err == nil {
			*p = gso.Packet{Data: buf[headroom : headroom+n]}
		}
		return err
	}
	headroom = max(headroom, gso.VnetLen)
	frame := buf[headroom-gso.VnetLen:]
	for {
		n, err := read(fd, frame)
		if err != nil {
			return err
		}
		if n <= gso.VnetLen {
			continue
		}
		p.Data = frame[gso.VnetLen:n]
		if gso.ParseVnet(frame[:gso.VnetLen], p) == nil {
			return nil
		}
		// Only a program that may inject raw frames can cause this. Its packet is dropped.
	}
}

// read reads what comes next from the queue with the descriptor fd.
func read(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, unix.EINVAL
	}
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrWouldBlock
		case unix.EINVAL: // the kernel dropped a super-packet of a kind that virtio-net cannot describe
			return 0, ErrWouldBlock
		default:
			return 0, queueError("reading", e)
		}
	}
}

// Write implements Queue.
func (q *queue) Write(p *gso.Packet, pieces [][]byte) error { return q.writeTo(q.fd, p, pieces) }

// WriteFor implements Helper.
func (q *queue) WriteFor(host Queue, p *gso.Packet, pieces [][]byte) error {
	h, ok := host.(*queue)
	if !ok {
		return errStranger
	}
	return q.writeTo(h.fd, p, pieces)
}

// writeTo writes to the queue with the descriptor fd.
func (q *queue) writeTo(fd int, p *gso.Packet, pieces [][]byte) error {
	q.to = fd
	if !q.takes(p) {
		return q.plain.Write(p, pieces, q.writeWhole)
	}
	if !q.vnet {
		return q.writev(nil, pieces)
	}
	if err := gso.PutVnet(q.hdr[:], p); err != nil {
		return err
	}
	err := q.writev(q.hdr[:], pieces)
	if p.GSO != gso.None {
		if err == errRefused {
			return q.cut(p, pieces)
		}
		q.gso.taken(p.GSO)
	}
	return err
}

// cut writes the packets of a super-packet that the kernel refused whole. Only if this succeeds the
// refusal counts: the packet was not at fault.
func (q *queue) cut(p *gso.Packet, pieces [][]byte) error {
	err := q.plain.Write(p, pieces, q.writeWhole)
	if err == nil {
		q.gso.refused(p.GSO)
	}
	return err
}

// Offloads implements Refuser.
func (q *queue) Offloads() gso.Offloads { return q.gso.left(q.can) }

// takes reports whether the kernel takes p whole.
func (q *queue) takes(p *gso.Packet) bool {
	switch p.GSO {
	case gso.None:
		return q.vnet || !p.NeedsChecksum
	case gso.UDP:
		return q.can.USO && !q.gso.uso.known.Load()
	}
	return q.can.TSO && !q.gso.tso.known.Load()
}

// writeWhole writes an ordinary packet with a complete checksum.
func (q *queue) writeWhole(b []byte) error {
	var one = [1][]byte{b}
	if !q.vnet {
		return q.writev(nil, one[:])
	}
	clear(q.hdr[:])
	return q.writev(q.hdr[:], one[:])
}

func (q *queue) writev(hdr []byte, pieces [][]byte) error {
	if len(pieces) > maxPieces {
		return errPieces
	}
	q.iov = q.iov[:0]
	q.gather(hdr)
	for _, b := range pieces {
		q.gather(b)
	}
	if len(q.iov) == 0 {
		return unix.EINVAL
	}
	for {
		switch e := q.call(q.to, q.iov); e {
		case 0:
			return nil
		case unix.EINTR:
		case unix.EAGAIN:
			return ErrWouldBlock
		case unix.EINVAL:
			return errRefused
		default:
			return queueError("writing", e)
		}
	}
}

func sysWritev(fd int, iov []unix.Iovec) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return e
}

func (q *queue) gather(b []byte) {
	if len(b) == 0 {
		return
	}
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	q.iov = append(q.iov, v)
}

// queueError returns the error of a system call. A deleted device returns EFAULT once and EBADFD
// from then on.
func queueError(doing string, e unix.Errno) error {
	switch e {
	case unix.EBADFD, unix.EFAULT, unix.EBADF:
		return fmt.Errorf("tun: %s: the device is gone: %w", doing, os.ErrClosed)
	case unix.EIO:
		return fmt.Errorf("tun: %s: the device is down: %w", doing, e)
	}
	return fmt.Errorf("tun: %s: %w", doing, e)
}

func (q *queue) Close() error {
	if q.fd < 0 {
		return nil
	}
	err := unix.Close(q.fd)
	q.fd = -1
	return err
}
