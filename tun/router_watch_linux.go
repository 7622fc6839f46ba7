package tun

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"culvert/tun/cbpf"
)

const (
	// settle is the least time between two reactions to changes. It combines bursts, and bounds the
	// cost of a program that undoes every repair.
	settle = 50 * time.Millisecond
	// compareEvery is the time between two comparisons of all rules and routes with the plan, which
	// find changes without notices.
	compareEvery = time.Minute
	// maxEvents is the greatest number of recorded events. Beyond it everything is compared.
	maxEvents = 4096
)

// A watcher is a socket for the kernel's notices of changes of rules, routes, addresses and links,
// except those by our own requests.
type watcher struct {
	f      *os.File
	buf    []byte
	closed atomic.Bool
}

// watch opens a watcher in the calling thread's network namespace. own is the address of the socket
// whose requests cause no notices.
func watch(own uint32) (*watcher, error) {
	fd, _, err := netlinkSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &watcher{f: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 64<<10)}
	if err = w.filter(fd, own); err == nil {
		for _, group := range []int{
			unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		} {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
		}
	}
	if err != nil {
		w.f.Close()
		return nil, fmt.Errorf("tun: watching this host's rules, routes, addresses and links: %w", err)
	}
	return w, nil
}

// filter makes the kernel drop notices of our own requests, and of routes in tables below 256: a
// host with a million routes would otherwise cause as many notices.
func (w *watcher) filter(fd int, own uint32) error {
	const (
		accept = 1 << 20
		drop   = 0
	)
	return cbpf.Attach(fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4}, // nlmsg_pid
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: native(own), SkipTrue: 6},
		bpf.LoadAbsolute{Off: 4, Size: 2}, // nlmsg_type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: native(uint16(unix.RTM_NEWROUTE)), SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: native(uint16(unix.RTM_DELROUTE)), SkipTrue: 2},
		bpf.LoadAbsolute{Off: unix.SizeofNlMsghdr + 4, Size: 1}, // rtm_table
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.RT_TABLE_COMPAT, SkipTrue: 1},
		bpf.RetConstant{Val: accept},
		bpf.RetConstant{Val: drop},
	})
}

// read waits for messages up to a deadline.
func (w *watcher) read(until time.Time) ([]byte, error) {
	if err := w.f.SetReadDeadline(until); err != nil {
		return nil, err
	}
	rc, err := w.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n int
	var from unix.Sockaddr
	var failed error
	err = rc.Read(func(fd uintptr) bool {
		n, from, failed = unix.Recvfrom(int(fd), w.buf, 0)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 { // not the kernel
		return nil, nil
	}
	return w.buf[:n], nil
}

// close closes the socket, and ends a waiting read.
func (w *watcher) close() {
	w.closed.Store(true)
	w.f.Close()
}

// follow reads notices and acts on them until the watcher is closed.
func (r *Router) follow() {
	var e events
	e.reset()
	links := make(map[uint32]uint32) // flags
	acted, compare := time.Time{}, time.Now().Add(compareEvery)
	for {
		b, err := r.watch.read(r.due(&e, acted, compare))
		switch {
		case r.watch.closed.Load():
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			if !errors.Is(err, unix.ENOBUFS) { // with ENOBUFS the kernel has dropped notices
				time.Sleep(settle)
			}
			e.news, e.whole = hostsNews, true
		default:
			for m := range messages(b) {
				r.note(&e, m, links)
			}
			if len(links) > maxEvents {
				clear(links)
			}
			e.whole = e.whole || e.full()
		}
		now := time.Now()
		if now.Before(r.due(&e, acted, compare)) {
			continue
		}
		if e.whole = e.whole || !now.Before(compare); e.whole {
			compare = now.Add(compareEvery)
		}
		r.act(&e, now)
		acted = time.Now()
		e.reset()
	}
}

// due returns the time of the next action.
func (r *Router) due(e *events, acted, compare time.Time) time.Time {
	due := compare
	earlier := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	if e.news != noNews {
		earlier(acted.Add(settle))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.again.at.IsZero() {
		earlier(r.again.at)
	}
	if t := r.repairs.due(); !t.IsZero() {
		earlier(t)
	}
	return due
}

// act restores the kernel's rules and routes after events, a minute, or refusals.
func (r *Router) act(e *events, now time.Time) {
	r.mu.Lock()
	if !r.closed {
		err := r.mend(e, now)
		r.logIncomplete(err, now)
		r.repairs.report(now)
	}
	r.mu.Unlock()
	if e.news == hostsNews && r.onHost != nil {
		r.onHost()
	}
}

// logIncomplete logs that a part of the routes is not in force, if the error differs from the last
// one, and logs when all are in force again.
func (r *Router) logIncomplete(err error, now time.Time) {
	if err != nil {
		if r.again.at.IsZero() {
			r.again.failed(now)
		}
		if text := essence(err); text != r.again.logged {
			r.again.logged = text
			r.log.Warn("routes to the tunnels are incomplete", "device", r.device, "error", err)
		}
		return
	}
	if r.again.at.IsZero() && r.again.logged != "" {
		r.again = retry{}
		r.log.Info("routes to the tunnels are complete again", "device", r.device)
	}
}
