package netlab

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Sniffer shows the frames of a device.
type Sniffer struct {
	fd      int
	ended   atomic.Bool
	seen    atomic.Uint64 // frames passed to f
	running sync.WaitGroup
	once    sync.Once

	mu             sync.Mutex
	received, lost uint64 // by the kernel's count at the last query
}

// Sniff calls f with every frame that the device of the host sends or receives, until the lab is
// closed or the sniffer is stopped. f runs on one goroutine and must not keep the frame.
// Super-packets of the device's offloads show as one frame.
func (h *Host) Sniff(dev string, f func(frame []byte)) (*Sniffer, error) {
	return h.sniff(dev, 1<<17, f)
}

// SniffHeaders is Sniff with at most the first octets of each frame.
func (h *Host) SniffHeaders(dev string, octets int, f func(frame []byte)) (*Sniffer, error) {
	return h.sniff(dev, octets, f)
}

func (h *Host) sniff(dev string, octets int, f func(frame []byte)) (*Sniffer, error) {
	fd, err := h.packetSocket(dev)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 0)
	s := &Sniffer{fd: fd}
	if err := s.keep(octets); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.running.Go(func() {
		buf := make([]byte, octets)
		for !s.ended.Load() {
			if n, err := unix.Read(fd, buf); err == nil {
				f(buf[:n])
				s.seen.Add(1)
			}
		}
	})
	h.lab.onClose(s.Stop)
	return s, nil
}

// keep has the kernel pass only the first octets of each frame.
func (s *Sniffer) keep(octets int) error {
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(octets)}}
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter[0]})
}

// Sync waits until f has seen every frame that passed before the call, and returns the number of
// frames lost so far because the socket's buffer was full.
func (s *Sniffer) Sync() (lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		s.received += uint64(st.Packets) // includes the lost ones; the query resets both
		s.lost += uint64(st.Drops)
	}
	for s.seen.Load()+s.lost < s.received && !s.ended.Load() {
		time.Sleep(time.Millisecond)
	}
	return s.lost
}

// Stop ends the sniffer.
func (s *Sniffer) Stop() {
	s.once.Do(func() {
		s.ended.Store(true)
		s.running.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		unix.Close(s.fd)
		s.fd = -1
	})
}
