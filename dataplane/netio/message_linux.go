package netio

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSpace is enough for all control messages that occur together: packet info, TOS, segment
// size and drop count take at most 40 + 3*24 octets.
const controlSpace = 128

// A message is the memory of one recvmsg or sendmsg, reused for each call. It must not move during
// a call, so it lives on the heap.
type message struct {
	hdr  unix.Msghdr
	iov  unix.Iovec
	name unix.RawSockaddrInet6 // large enough for IPv4
	ctl  [controlSpace]byte
}

// prepareRecv points the header at buf, which must not be empty.
func (m *message) prepareRecv(buf []byte) {
	m.iov.Base = &buf[0]
	m.iov.SetLen(len(buf))
	m.hdr.Name = (*byte)(unsafe.Pointer(&m.name))
	m.hdr.Namelen = unix.SizeofSockaddrInet6
	m.hdr.Iov = &m.iov
	m.hdr.Iovlen = 1
	m.hdr.Control = &m.ctl[0]
	m.hdr.SetControllen(controlSpace)
	m.hdr.Flags = 0
}

// remote returns the sender's address of a received message.
func (m *message) remote(v6 bool) netip.AddrPort {
	if !v6 {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.name))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), networkOrder(sa.Port))
	}
	a := netip.AddrFrom16(m.name.Addr)
	if m.name.Scope_id != 0 { // only for link-local peers: the zone costs an allocation
		a = a.WithZone(strconv.FormatUint(uint64(m.name.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, networkOrder(m.name.Port))
}

// networkOrder converts a port field, which holds two octets in network order, in either direction.
func networkOrder(p uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&p))[:])
}

// parse reads the control messages b, which are aligned for a struct cmsghdr. Fields of r without
// one stay as they are.
func (r *received) parse(b []byte) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return
		}
		r.take(h.Level, h.Type, b[unix.CmsgLen(0):n])
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
}

func (r *received) take(level, typ int32, data []byte) {
	switch {
	case level == unix.SOL_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		r.local = netip.AddrFrom4([4]byte(data[8:12])) // ipi_addr: the header's destination
	case level == unix.SOL_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		r.local = netip.AddrFrom16([16]byte(data[:16]))
	case level == unix.SOL_IP && typ == unix.IP_TOS && len(data) >= 1:
		r.tos = data[0]
	case level == unix.SOL_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
		r.tos = uint8(binary.NativeEndian.Uint32(data))
	case level == unix.SOL_UDP && typ == unix.UDP_GRO && len(data) >= 2:
		r.segSize = groSize(data)
	case level == unix.SOL_SOCKET && typ == unix.SO_RXQ_OVFL && len(data) >= 4:
		r.drops = binary.NativeEndian.Uint32(data)
	}
}

// groSize reads UDP_GRO's value: an int, of which early kernels wrote only 16 bits.
func groSize(data []byte) int {
	if len(data) >= 4 {
		return int(binary.NativeEndian.Uint32(data))
	}
	return int(binary.NativeEndian.Uint16(data))
}

// prepareSend sets the destination and the control messages; segSize 0 omits segmentation. The
// caller sets the data.
func (m *message) prepareSend(s *socket, out *Outgoing, segSize int) {
	to := out.Path.Remote()
	m.setName(s.v6, to)
	n := 0
	if local := s.source(out); local.Is6() == s.v6 && local.IsValid() && !local.IsUnspecified() {
		n = m.putPacketInfo(s.v6, local, zoneID(to.Addr()))
	}
	if s.v6 {
		binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_IPV6, unix.IPV6_TCLASS, 4), uint32(out.TOS))
	} else {
		binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_IP, unix.IP_TOS, 4), uint32(out.TOS))
	}
	if segSize > 0 {
		binary.NativeEndian.PutUint16(m.put(&n, unix.SOL_UDP, unix.UDP_SEGMENT, 2), uint16(segSize))
	}
	m.hdr.Iov = &m.iov
	m.hdr.Iovlen = 1
	m.hdr.Control = &m.ctl[0]
	m.hdr.SetControllen(n)
	m.hdr.Flags = 0
}

func (m *message) setName(v6 bool, to netip.AddrPort) {
	m.hdr.Name = (*byte)(unsafe.Pointer(&m.name))
	if !v6 {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.name))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(to.Port()), Addr: to.Addr().As4()}
		m.hdr.Namelen = unix.SizeofSockaddrInet4
		return
	}
	m.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(to.Port()), Addr: to.Addr().As16(), Scope_id: zoneID(to.Addr())}
	m.hdr.Namelen = unix.SizeofSockaddrInet6
}

// putPacketInfo chooses the source address, and for a link-local one the interface.
func (m *message) putPacketInfo(v6 bool, local netip.Addr, zone uint32) (n int) {
	if !v6 {
		info := m.put(&n, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		src := local.As4()
		copy(info[4:8], src[:]) // ipi_spec_dst
		return n
	}
	info := m.put(&n, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	src := local.As16()
	copy(info, src[:])
	binary.NativeEndian.PutUint32(info[16:], zone)
	return n
}

// put appends a control message of size zeroed octets at *n and returns them.
func (m *message) put(n *int, level, typ int32, size int) []byte {
	b := m.ctl[*n : *n+unix.CmsgSpace(size)]
	clear(b)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
	*n += len(b)
	return b[unix.CmsgLen(0):][:size]
}

// setData sets the data to send.
func (m *message) setData(b []byte) {
	m.iov.Base = &b[0]
	m.iov.SetLen(len(b))
}
