package netio

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"culvert/dataplane/netio/hostpolicy"
)

// enter has the calling goroutine run in a network namespace, on a thread of its own that ends with
// it.
func enter(space int) error {
	runtime.LockOSThread()
	var here, there unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &here); err != nil {
		return err
	}
	if err := unix.Fstat(space, &there); err != nil {
		return err
	}
	if here.Ino == there.Ino && here.Dev == there.Dev {
		return nil
	}
	if err := unix.Setns(space, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	return nil
}

// inletNotices are what the kernel tells of changes. Without an error they are noted, with one the
// notices have ended.
type inletNotices struct {
	links, policy chan struct{}
	ended         chan error // with room for each
	close         func()
}

// followPause is the least time between two looks at the devices: it combines bursts of changes.
const followPause = 20 * time.Millisecond

// watch follows the SAs, the devices and addresses of the host, and its policy, until the end.
func (i *inlet) watch() {
	n, err := openInletNotices()
	if err != nil {
		i.refuse(err, err)
		return
	}
	defer n.close()
	i.check(true)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var due <-chan time.Time // of a look at the rules
	for i.policy.broken == nil {
		select {
		case <-n.links:
			_ = i.follow() // a device that is gone again
			time.Sleep(followPause)
		case <-n.policy:
			if due == nil {
				due = time.After(max(checkSoon, time.Until(i.policy.next)))
			}
		case <-due:
			due = nil
			i.check(true)
		case <-poll.C:
			i.check(false)
		case <-i.work:
			i.serve()
		case i.policy.broken = <-n.ended:
			i.check(false)
		case <-i.stop:
			return
		}
	}
}

// openInletNotices opens the notices of the calling thread's network namespace.
func openInletNotices() (*inletNotices, error) {
	n := &inletNotices{links: make(chan struct{}, 1), policy: make(chan struct{}, 1), ended: make(chan error, 3)}
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_TC)
	if err != nil {
		return nil, fmt.Errorf("watching the devices: %w", err)
	}
	w, err := hostpolicy.NewWatch(func(err error) { n.note(n.policy, err) })
	if err != nil {
		s.Close()
		return nil, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		n.listen(s)
	}()
	n.close = func() {
		w.Close()
		s.Close()
		<-gone
	}
	return n, nil
}

// listen notes each change that s reports, until it is closed, or of no use any more.
func (n *inletNotices) listen(s *nl.NetlinkSocket) {
	for {
		_, _, err := s.Receive()
		if errors.Is(err, unix.ENOBUFS) { // of which nobody knows what was lost
			err = nil
		}
		if n.note(n.links, err); err != nil {
			return
		}
	}
}

// note notes a change, or the end of the notices.
func (n *inletNotices) note(changes chan<- struct{}, err error) {
	if err != nil {
		n.ended <- fmt.Errorf("changes are not seen any more: %w", err)
		return
	}
	select {
	case changes <- struct{}{}:
	default:
	}
}

// follow attaches the program to the devices that there are now. While it does, no packets are
// taken.
func (i *inlet) follow() error {
	if i.maps == nil {
		return nil
	}
	plan, err := planDevices(i.net)
	if err != nil {
		return err
	}
	if err := i.at.address(i.maps, plan.ours); err != nil {
		return err
	}
	if took := i.takes(); !i.at.fits(plan) || !i.at.intact() {
		i.end()
		err = i.at.attach(i.maps, plan.wanted)
		if took {
			defer i.begin()
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.devices, i.skipped, i.by = i.at.names(), plan.skipped, i.maps.by()
	return err
}

// close ends the inlet. The workers have ended.
func (i *inlet) close() {
	close(i.stop)
	<-i.done
	lost := i.full()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lost, i.table = lost, nil
	for _, p := range i.net.ports {
		p.ring.Store(nil)
	}
	if i.maps != nil {
		i.maps.close()
	}
	i.closeBells()
	if i.space > 0 {
		unix.Close(i.space)
	}
}
