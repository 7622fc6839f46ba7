package netlab

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An Impairment is the effect of a bad wire on each frame, in either direction. Probabilities are
// from 0 to 1.
type Impairment struct {
	Drop, Double, Delay float64
	MaxDelay            time.Duration // the greatest delay of a delayed frame: later ones overtake it
	// Hold returns a delay of a certain frame, or 0. It must not keep the frame. nil: none.
	Hold func(frame []byte) time.Duration
}

// A Wire is a link between two hosts through this process, which can impair and inspect it.
type Wire struct {
	Frames, Dropped, Doubled, Delayed atomic.Uint64

	impairment atomic.Pointer[Impairment]
	tap        atomic.Pointer[func(frame []byte)]
	mu         sync.Mutex
	rng        *rand.Rand
}

// Wire joins a and b as Link does, but frame by frame through this process. The seed fixes the
// draws, whose order is the traffic's.
func (l *Lab) Wire(a, b Iface, mtu int, seed uint64) (*Wire, error) {
	mid, err := l.Host("wire-" + a.Name + "-" + b.Name)
	if err != nil {
		return nil, err
	}
	w := &Wire{rng: rand.New(rand.NewPCG(seed, 0))}
	w.Impair(Impairment{})
	var fds [2]int
	for i, end := range []Iface{a, b} {
		port := fmt.Sprintf("port%d", i)
		if err := l.Link(end, Iface{mid, port, nil}, mtu); err != nil {
			return nil, err
		}
		if err := end.Host.NoOffloads(end.Name); err != nil {
			return nil, err
		}
		if fds[i], err = mid.packetSocket(port); err != nil {
			return nil, fmt.Errorf("wire: %w", err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() { w.carry(fds[0], fds[1]) })
	running.Go(func() { w.carry(fds[1], fds[0]) })
	l.onClose(func() {
		// A shutdown does not wake a packet socket's reader, but the receive time-out does. Once
		// the readers have ended, closing the sockets is safe.
		w.impairment.Store(nil)
		running.Wait()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return w, nil
}

// Impair changes the impairment from now on.
func (w *Wire) Impair(i Impairment) { w.impairment.Store(&i) }

// Tap calls f with every frame that enters the wire; nil ends it. f runs on the wire's goroutines
// and must not keep the frame.
func (w *Wire) Tap(f func(frame []byte)) {
	if f == nil {
		w.tap.Store(nil)
		return
	}
	w.tap.Store(&f)
}

func (h *Host) packetSocket(dev string) (fd int, err error) {
	err = h.Do(func() error {
		link, err := h.nl.LinkByName(dev)
		if err != nil {
			return err
		}
		const allProtocols = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
		// It has no protocol until it is bound: otherwise it would see the frames of every device.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		// Frames that this socket sends must not come back to it as received.
		_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: link.Attrs().Index})
	})
	return fd, err
}

// carry copies frames one way until the wire is closed.
func (w *Wire) carry(from, to int) {
	buf := make([]byte, 65536)
	for {
		n, err := unix.Read(from, buf)
		how := w.impairment.Load()
		if how == nil {
			return
		}
		if err != nil || n == 0 {
			continue
		}
		w.Frames.Add(1)
		if tap := w.tap.Load(); tap != nil {
			(*tap)(buf[:n])
		}
		w.forward(to, buf[:n], how)
	}
}

func (w *Wire) forward(to int, frame []byte, how *Impairment) {
	w.mu.Lock()
	drop, double, delay := w.rng.Float64() < how.Drop, w.rng.Float64() < how.Double, w.rng.Float64() < how.Delay
	late := time.Duration(w.rng.Float64() * float64(how.MaxDelay))
	w.mu.Unlock()
	if how.Hold != nil {
		if hold := how.Hold(frame); hold > 0 {
			delay, late = true, hold
		}
	}
	switch {
	case drop:
		w.Dropped.Add(1)
		return
	case delay:
		w.Delayed.Add(1)
		kept := append([]byte(nil), frame...)
		time.AfterFunc(late, func() {
			if w.impairment.Load() != nil {
				_, _ = unix.Write(to, kept)
			}
		})
		return
	case double:
		w.Doubled.Add(1)
		_, _ = unix.Write(to, frame)
	}
	_, _ = unix.Write(to, frame)
}
