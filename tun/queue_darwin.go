package tun

import (
	"culvert/tun/gso"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// utunHeader is the length of the address family before each packet of a utun device. The library
// needs room for it.
const utunHeader = 4

// A queue is the queue of a utun device. Reads block, which FD shows by -1.
type queue struct {
	dev   wgtun.Device
	frame []byte
	sizes []int
	plain gso.Splitter
}

func (q *queue) FD() int { return -1 }

func (q *queue) Read(buf []byte, headroom int, p *gso.Packet) error {
	headroom = max(headroom, utunHeader)
	bufs := [1][]byte{buf}
	for {
		n, err := q.dev.Read(bufs[:], q.sizes, headroom)
		if err != nil {
			if errors.Is(err, os.ErrClosed) {
				return fmt.Errorf("tun: reading: the device is gone: %w", os.ErrClosed)
			}
			return fmt.Errorf("tun: reading: %w", err)
		}
		if n == 1 && q.sizes[0] > 0 {
			*p = gso.Packet{Data: buf[headroom : headroom+q.sizes[0]]}
			return nil
		}
	}
}

func (q *queue) Write(p *gso.Packet, pieces [][]byte) error {
	return q.plain.Write(p, pieces, q.writeWhole)
}

func (q *queue) writeWhole(b []byte) error {
	if len(b) > len(q.frame)-utunHeader {
		return unix.EMSGSIZE
	}
	n := copy(q.frame[utunHeader:], b)
	bufs := [1][]byte{q.frame[:utunHeader+n]}
	_, err := q.dev.Write(bufs[:], utunHeader)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		return ErrWouldBlock
	case err != nil:
		return fmt.Errorf("tun: writing: %w", err)
	}
	return nil
}

func (q *queue) Close() error { return q.dev.Close() }

func setMTU(name string, mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var ifr unix.IfreqMTU
	copy(ifr.Name[:], name)
	ifr.MTU = int32(mtu)
	return unix.IoctlSetIfreqMTU(fd, &ifr)
}
