package netio

import (
	"errors"
	"fmt"
	"net/netip"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

var (
	errNoRaw    = errors.New("netio: no socket for IP protocol 50 of this family")
	errNoSocket = errors.New("netio: no socket of this family")
	errStranger = errors.New("netio: a port of another Net")
	errEmpty    = errors.New("netio: nothing to send")
	// errNoBuffers is ENOBUFS: the queue of the device is full, or the buffer of a raw socket.
	errNoBuffers = errors.New("netio: the queue to the device is full")
)

// sendErrno is any other reason why the kernel did not send. It is made without allocation, because
// a broken path fails at the rate of its packets.
type sendErrno unix.Errno

func (e sendErrno) Error() string { return "netio: sending: " + unix.Errno(e).Error() }
func (e sendErrno) Unwrap() error { return unix.Errno(e) }

// Is reports whether the error is also ErrNoRoute.
func (e sendErrno) Is(target error) bool { return target == ErrNoRoute && noRoute(unix.Errno(e)) }

// noRoute reports whether the kernel refused a source, or has no route. For an address in the
// packet info that is not the host's, Linux returns ENETUNREACH over IPv4 and EINVAL over IPv6.
func noRoute(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL)
}

// Obstacle returns why this host refused to send, if an error of Send tells. Nothing is allocated
// for it.
func Obstacle(err error) ipsec.Obstacle {
	switch {
	case err == nil:
	case errors.Is(err, ErrNoRoute), noRoute(err), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETDOWN):
		return ipsec.ObstacleRoute
	case errors.Is(err, errRefused), errors.Is(err, unix.EPERM):
		return ipsec.ObstacleFirewall
	case errors.Is(err, unix.EACCES):
		return ipsec.ObstacleForbidden
	}
	return ipsec.NoObstacle
}

func sendError(e unix.Errno) error {
	switch e {
	case unix.EAGAIN:
		return ErrWouldBlock
	case unix.EMSGSIZE:
		return ErrTooBig
	case unix.ENOBUFS:
		return errNoBuffers
	case unix.EPERM:
		return errRefused
	}
	return sendErrno(e)
}

// bindError returns an error with the obstacle to a socket and its remedy.
func bindError(what string, a netip.AddrPort, key string, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("netio: UDP port %d on %s is in use: another IKE daemon (strongSwan, Libreswan) or another culvert runs here; `ss -ulpn 'sport = :%d'` names it; stop it or set [daemon] %s",
			a.Port(), a.Addr(), a.Port(), key)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("netio: listen address %s is not an address of this host", a.Addr())
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("netio: %s on %s: %w: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE", what, a, err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("netio: %s on %s: this host has no IPv%d: %w", what, a, version(a.Addr()), err)
	}
	return fmt.Errorf("netio: %s on %s: %w", what, a, err)
}

func version(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// absent reports whether the host lacks the whole address family, which is allowed for an
// unspecified listen address.
func absent(a netip.Addr, err error) bool {
	return a.IsUnspecified() && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EPROTONOSUPPORT))
}
