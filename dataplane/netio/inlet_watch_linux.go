package netio

import (
	"errors"
	"fmt"
	"maps"
	"runtime"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
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

// watch follows the SAs, and the devices and addresses of the host, until the end.
func (i *inlet) watch() {
	changes := make(chan struct{}, 1)
	changes <- struct{}{} // what changed before
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err == nil {
		ended := make(chan struct{})
		go listen(s, changes, ended)
		defer func() {
			s.Close()
			<-ended
		}()
	} else {
		i.net.log.Warn("new devices are not seen: ESP at them comes by the raw socket", "error", err)
	}
	for {
		select {
		case <-changes:
			_ = i.follow() // a device that is gone again
		case <-i.work:
			i.serve()
		case <-i.stop:
			return
		}
	}
}

// listen notes each change that s reports, until it is closed.
func listen(s *nl.NetlinkSocket, changes, ended chan<- struct{}) {
	defer close(ended)
	for {
		_, _, err := s.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // of which nobody knows what was lost
			return
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}

// follow attaches the program to the devices that there are now.
func (i *inlet) follow() error {
	err := i.at.follow(i.net, i.maps)
	now := make(map[int]bool)
	for index := range i.at.links {
		now[index] = true
	}
	i.mu.Lock()
	before := i.indices
	i.devices, i.indices = i.at.names, now
	i.mu.Unlock()
	if !maps.Equal(before, now) {
		i.net.hops.dropAll()
	}
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
	i.at.close()
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
