package dataplane

import "golang.org/x/sys/unix"

// openWake: see worker_poll.go. An eventfd is both ends in one.
func openWake() (read, write int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return fd, fd, err
}
