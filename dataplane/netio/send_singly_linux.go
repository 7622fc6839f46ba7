package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// loseParcel records that a message was not sent.
func (p *port) loseParcel(outs []Outgoing, m *parcel, err error) {
	if m.first == m.last {
		p.lose(&outs[m.first], m.count, err)
		return
	}
	for i := m.first; i <= m.last; i++ {
		p.lose(&outs[i], outs[i].Datagrams(), err)
	}
}

// mayGoSingly reports whether e may concern the whole run and not each of its datagrams. The kernel
// returns EIO if the device cannot compute checksums, and EINVAL both without UDP_SEGMENT and for a
// segment beyond the path MTU: sending one by one tells these apart. EMSGSIZE may be about others
// that joined the run.
func (m *parcel) mayGoSingly(e unix.Errno) bool {
	switch e {
	case unix.EIO, unix.EINVAL, unix.EOPNOTSUPP:
		return m.count > 1
	case unix.EMSGSIZE:
		return m.first != m.last
	}
	return false
}

// sendSingly sends the datagrams of a run one by one. If that succeeds, the kernel refused the run
// as such.
func (p *port) sendSingly(outs []Outgoing, m *parcel) {
	all := true
	i, left := m.first, m.count
	if m.first != m.last {
		left = outs[i].Datagrams()
	}
	for rest := m.data; len(rest) > 0; left-- {
		if left == 0 {
			i++
			left = outs[i].Datagrams()
		}
		d := rest[:min(m.size, len(rest))]
		rest = rest[len(d):]
		if e := p.sendOne(&outs[i], d); e != 0 {
			p.lose(&outs[i], 1, sendError(e))
			all = false
		}
	}
	if all {
		p.refuse(outs[i].Path.Remote())
	}
}

// sendOne sends one datagram by itself.
func (p *port) sendOne(out *Outgoing, data []byte) unix.Errno {
	m := &p.one
	m.prepareSend(p.out.sock, out, 0)
	m.setData(data)
	for told := false; ; {
		_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(p.out.sock.fd), uintptr(unsafe.Pointer(&m.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if e == 0 || !p.again(p.out.sock, e, &told) {
			return e
		}
	}
}
