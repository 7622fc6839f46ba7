package netio

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSegments is the kernel's UDP_MAX_SEGMENTS (later kernels allow more).
	maxSegments = 64
	// maxRun bounds the octets of one UDP_SEGMENT send: the IP length field less the largest headers.
	maxRun = 65535 - 40 - 8
)

// mmsghdr is struct mmsghdr, laid out as in unix.Mmsghdr, which not every architecture's package has.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batch is the memory of one sendmmsg.
type batch struct {
	hdr [maxSegments]mmsghdr
	iov [maxSegments]unix.Iovec
}

// Send implements Port. Everything goes out at once: a run in one UDP_SEGMENT send, or in one sendmmsg where there is none, as for
// IP protocol 50.
func (p *port) Send(out *Outgoing) error {
	if len(out.Data) == 0 {
		return unix.EINVAL
	}
	s, err := p.socketFor(out)
	if err == nil {
		err = p.send(s, out)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTooBig):
		p.count.tooBig.Add(1)
	case errors.Is(err, ErrWouldBlock):
		p.count.wouldBlock.Add(1)
	default:
		p.count.sendErrors.Add(1)
	}
	return err
}

func (p *port) send(s *socket, out *Outgoing) error {
	size := out.SegSize
	if size <= 0 || size >= len(out.Data) {
		p.out.prepareSend(s, out, 0)
		return p.sendOne(s, out.Data)
	}
	n := min(maxSegments, maxRun/size)
	if p.noGSO || s.raw || s.frag || n < 2 {
		return p.sendEach(s, out, out.Data)
	}
	for rest := out.Data; len(rest) > 0; {
		chunk := rest[:min(n*size, len(rest))]
		rest = rest[len(chunk):]
		if err := p.sendRun(s, out, chunk); err != nil {
			return err
		}
	}
	return nil
}

// sendRun sends a run that the kernel cuts. The kernel says EIO where the device cannot make checksums, and EINVAL both where it knows no
// UDP_SEGMENT and where a segment exceeds the path MTU: sending one by one tells these apart.
func (p *port) sendRun(s *socket, out *Outgoing, chunk []byte) error {
	if p.noGSO {
		return p.sendEach(s, out, chunk)
	}
	p.out.prepareSend(s, out, out.SegSize)
	err := p.sendOne(s, chunk)
	if !errors.Is(err, unix.EIO) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := p.sendEach(s, out, chunk); err != nil {
		return err
	}
	p.noGSO = true
	p.count.gsoRefused.Add(1)
	p.log.Warn("UDP_SEGMENT is refused here: sending datagrams one by one, which costs throughput", "remote", out.Remote.String(), "error", err)
	return nil
}

// sendOne sends p.out with data.
func (p *port) sendOne(s *socket, data []byte) error {
	p.out.setData(data)
	for told := false; ; {
		_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.out.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if !p.again(s, e, &told) {
			return sendError(e)
		}
	}
}

// again says whether a send that ended with e is worth trying again: when it was interrupted, and once when it may have told of an earlier
// packet's ICMP error and not of itself. An error of its own is queued as well.
func (p *port) again(s *socket, e unix.Errno, told *bool) bool {
	switch {
	case e == unix.EINTR:
		return true
	case e == 0 || e == unix.EAGAIN || !s.tellsErrors():
		return false
	}
	s.drainErrors(p.in)
	first := !*told
	*told = true
	return first
}

// sendEach sends each datagram of a run by itself, many in one call. An error ends the run.
func (p *port) sendEach(s *socket, out *Outgoing, data []byte) error {
	p.out.prepareSend(s, out, 0)
	for len(data) > 0 {
		n := 0
		for ; n < maxSegments && len(data) > 0; n++ {
			d := data[:min(out.SegSize, len(data))]
			data = data[len(d):]
			p.batch.iov[n].Base = &d[0]
			p.batch.iov[n].SetLen(len(d))
			p.batch.hdr[n].hdr = p.out.hdr
			p.batch.hdr[n].hdr.Iov = &p.batch.iov[n]
		}
		if err := p.sendBatch(s, n); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch sends the first n messages of the batch. The kernel stops at the first that fails and tells why when that is tried again.
func (p *port) sendBatch(s *socket, n int) error {
	told := false
	for done := 0; done < n; {
		sent, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.batch.hdr[done])), uintptr(n-done),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if e == 0 {
			done += int(sent)
		} else if !p.again(s, e, &told) {
			return sendError(e)
		}
	}
	return nil
}

func sendError(e unix.Errno) error {
	switch e {
	case 0:
		return nil
	case unix.EAGAIN:
		return ErrWouldBlock
	case unix.EMSGSIZE:
		return ErrTooBig
	}
	return fmt.Errorf("netio: sending: %w", e)
}

// Flush implements Port: Send holds nothing back.
func (p *port) Flush() error { return nil }
