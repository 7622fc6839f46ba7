package netlab

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Sniff has f look at every frame that the device of the host sends or receives, until the lab is closed or stop is called. f runs on
// one goroutine and must not keep the frame. Super-packets of the device's offloads show as one frame.
func (h *Host) Sniff(dev string, f func(frame []byte)) (stop func(), err error) {
	fd, err := h.packetSocket(dev)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 0)
	var ended atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1<<17)
		for !ended.Load() {
			if n, err := unix.Read(fd, buf); err == nil {
				f(buf[:n])
			}
		}
	})
	var once sync.Once
	stop = func() {
		once.Do(func() {
			ended.Store(true)
			running.Wait()
			unix.Close(fd)
		})
	}
	h.lab.onClose(stop)
	return stop, nil
}

// Addresses are the IP source and destination of an Ethernet frame and its protocol; ok is false for a frame that is not IP.
func Addresses(frame []byte) (src, dst netip.Addr, protocol uint8, ok bool) {
	if len(frame) < 14+20 {
		return src, dst, 0, false
	}
	switch ip := frame[14:]; binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), ip[9], true
	case unix.ETH_P_IPV6:
		if len(ip) < 40 {
			return src, dst, 0, false
		}
		return netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), ip[6], true
	}
	return src, dst, 0, false
}
