package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// notices are the groups of changes that may move a route.
var notices = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// noticeBuffer is the receive buffer of the notices, in octets. Where it is too small, all that is
// known is dropped, and asked again.
const noticeBuffer = 1 << 20

// openNotices opens a socket for them, in the network namespace of the calling thread.
func openNotices() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netio: a netlink socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, noticeBuffer)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range notices {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("netio: notices of routes and neighbours: %w", err)
	}
	// Linux 5.3; before that there are no objects that it tells of.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NEXTHOP)
	return f, nil
}

// listen takes the notices until the socket is closed.
func (h *hopCache) listen() {
	rc, err := h.notices.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := rc.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
		})
		if err != nil {
			return // closed
		}
		switch sa, ok := from.(*unix.SockaddrNetlink); {
		case errors.Is(failed, unix.ENOBUFS): // the kernel has dropped notices
			h.dropAll()
		case failed != nil:
			h.deafen(failed)
			return
		case ok && sa.Pid == 0:
			h.take(buf[:n])
		}
	}
}

// deafen ends the cache: without notices nothing in it holds.
func (h *hopCache) deafen(err error) {
	h.deaf.Store(true)
	h.dropAll()
	h.log.Warn("protocol 50 is sent through the IP stack: changes of routes are not seen any more", "event", "fast-path", "error", err)
}

// take acts on the messages in b.
func (h *hopCache) take(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return
		}
		h.note(binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// note drops what a notice may have changed.
func (h *hopCache) note(kind uint16, body []byte) {
	switch kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, ok := parseDestination(body)
		h.drop(func(e *entry) bool { return !ok || p.Contains(e.key.remote) || p.Contains(e.key.local) })
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(body) >= unix.SizeofIfInfomsg {
			h.noteLink(kind == unix.RTM_DELLINK, int(binary.NativeEndian.Uint32(body[4:])), binary.NativeEndian.Uint32(body[8:]))
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, err := parseNeighbour(body); err == nil {
			n.valid = n.valid && kind == unix.RTM_NEWNEIGH
			h.dropNeighbour(n)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP,
		unix.RTM_NEWNETCONF:
		// With an address go the routes that prefer it as their source: from older kernels without
		// a notice. The sysctl ignore_routes_with_linkdown decides which routes count.
		h.dropAll()
	}
}

// dropAll drops everything, also what is known of the rules. A nil cache has nothing.
func (h *hopCache) dropAll() {
	if h == nil {
		return
	}
	h.rulesChanged.Store(true)
	h.drop(func(*entry) bool { return true })
}

// noteLink drops what leads to a device that has changed. If it has come or gone, or its carrier
// has, routes by other devices may have to give way to those by it, or take their place, without a
// notice (the sysctl ignore_routes_with_linkdown).
func (h *hopCache) noteLink(gone bool, index int, flags uint32) {
	const state = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	before, known := h.links[index]
	if flags &= state; gone {
		delete(h.links, index)
	} else {
		h.links[index] = flags
	}
	if !gone && known && before == flags {
		h.dropLink(index)
		return
	}
	h.dropAll()
}

func (h *hopCache) dropLink(index int) { h.drop(func(e *entry) bool { return e.link == index }) }

// dropNeighbour drops what leads to a neighbour, unless it is where it was: its state changes all
// the time. One that has become valid may be of use.
func (h *hopCache) dropNeighbour(n neighbourAnswer) {
	if !n.addr.IsValid() {
		return
	}
	h.drop(func(e *entry) bool {
		if e.link != n.link || e.via != n.addr {
			return false
		}
		if e.hop.Load() == nil {
			return n.valid
		}
		return !n.valid || e.to != n.to
	})
}
