// Package netlab builds small networks of namespaces on one machine: hosts, veth links, NATs,
// impaired links, real peers, and test traffic. It needs only the kernel, except for the peers and
// the NAT, which run Debian's packages. All namespaces are anonymous: they vanish with the process,
// however it ends.
package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Lab is a network. Close removes all of it.
type Lab struct {
	mu      sync.Mutex
	closers []func()
}

// New returns an empty lab, or an error with what the machine or the caller's privileges lack.
func New() (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	return &Lab{}, nil
}

// Available reports whether this process may make namespaces and TUN devices; the error names the
// remedy.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it with sudo")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return errors.New("/dev/net/tun is missing: load the tun module (modprobe tun), or give the container the device (--device /dev/net/tun)")
	}
	done := make(chan error)
	go func() { // the thread keeps the new namespace and must end with the goroutine, so it stays locked
		runtime.LockOSThread()
		done <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("making a network namespace: %w: the container needs CAP_SYS_ADMIN and CAP_NET_ADMIN", err)
	}
	return nil
}

// Close stops every process of the lab and removes its links and namespaces, the last made first.
func (l *Lab) Close() {
	l.mu.Lock()
	closers := l.closers
	l.closers = nil
	l.mu.Unlock()
	for _, c := range slices.Backward(closers) {
		c()
	}
}

func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// A Host is one network namespace.
type Host struct {
	Name string
	lab  *Lab
	ns   netns.NsHandle
	nl   *netlink.Handle
	run  chan func() // functions for the host's own thread, which lives as long as the host
}

// Host makes a namespace with loopback up and forwarding on.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{Name: name, lab: l, run: make(chan func())}
	ready := make(chan error)
	go h.thread(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	l.onClose(func() { close(h.run); h.nl.Close(); h.ns.Close() })
	for _, s := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := h.Sysctl(s, "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	for _, s := range []string{"ipv6/conf/default/accept_dad", "ipv6/conf/all/accept_dad"} {
		if err := h.Sysctl(s, "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	return h, h.nl.LinkSetUp(lo)
}

// thread is the host's own thread. It starts the processes, because a parent-death signal is tied
// to the forking thread: so it fires when this process dies and not before.
func (h *Host) thread(ready chan<- error) {
	runtime.LockOSThread()
	var err error
	if h.ns, err = netns.New(); err == nil {
		h.nl, err = netlink.NewHandleAt(h.ns)
	}
	ready <- err
	for f := range h.run {
		f()
	}
}

// errEnded is a function that has ended its goroutine, as a test's Fatal and Skip do.
var errEnded = errors.New("it did not return")

// Do runs f on a thread in the host's namespace and returns its error. Sockets that f opens stay in
// the namespace; f may block.
func (h *Host) Do(f func() error) error {
	done := make(chan error)
	go func() { // stays locked: the thread ends with the goroutine, and with it its use of the namespace
		runtime.LockOSThread()
		err := errEnded
		defer func() { done <- err }()
		if err = netns.Set(h.ns); err != nil {
			err = fmt.Errorf("entering namespace of %s: %w", h.Name, err)
			return
		}
		err = errEnded
		err = f()
	}()
	return <-done
}

// onThread runs f on the host's own thread; f must not block for long.
func (h *Host) onThread(f func() error) error {
	done := make(chan error)
	h.run <- func() { done <- f() }
	return <-done
}

// Sysctl writes one value under /proc/sys/net of the namespace.
func (h *Host) Sysctl(name, value string) error {
	return h.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644) })
}

// Netlink returns the host's netlink handle, for tests that read devices, routes and rules.
func (h *Host) Netlink() *netlink.Handle { return h.nl }
