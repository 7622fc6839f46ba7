package tun

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A hostAddr is an address of this host.
type hostAddr struct {
	link uint32
	addr netip.Addr
	bits int // prefix length of its network
}

// parseAddr parses the body of an address message. usable reports whether the address can be a
// packet's source beyond its link.
func parseAddr(body []byte) (a hostAddr, usable, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return a, false, false
	}
	flags := uint32(body[2])
	a.bits = int(body[1])
	a.link = binary.NativeEndian.Uint32(body[4:])
	for kind, v := range attributes(body[unix.SizeofIfAddrmsg:]) {
		switch {
		case kind == unix.IFA_LOCAL, kind == unix.IFA_ADDRESS && !a.addr.IsValid(): // IFA_ADDRESS may be the peer's
			a.addr, _ = netip.AddrFromSlice(v)
		case kind == unix.IFA_FLAGS && len(v) == 4:
			flags = binary.NativeEndian.Uint32(v)
		}
	}
	const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
	return a, a.addr.IsGlobalUnicast() && flags&unusable == 0, a.addr.IsValid()
}

// A linkState is the content of a link message.
type linkState struct {
	index uint32
	up    bool
	flags uint32
}

// parseLink parses the body of a link message.
func parseLink(body []byte) (l linkState, ok bool) {
	if len(body) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.index, l.flags = binary.NativeEndian.Uint32(body[4:]), binary.NativeEndian.Uint32(body[8:])
	l.up = l.flags&unix.IFF_UP != 0
	return l, true
}
