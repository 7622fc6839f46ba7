package netlab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Transfer sends n pseudo-random octets by TCP between two hosts' addresses, checks their hash at
// the receiver, and returns the time from the first octet to the receiver's confirmation.
func Transfer(ctx context.Context, from *Host, src netip.Addr, to *Host, dst netip.Addr, n int64) (time.Duration, error) {
	var l net.Listener
	err := to.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(dst, 0).String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	received := make(chan error, 1)
	go func() { received <- receive(ctx, l, n) }()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	start := time.Now()
	if err := from.Do(func() error { return send(ctx, src, netip.AddrPortFrom(dst, port), n) }); err != nil {
		return 0, fmt.Errorf("sending from %s: %w", from.Name, err)
	}
	if err := <-received; err != nil {
		return 0, fmt.Errorf("receiving at %s: %w", to.Name, err)
	}
	return time.Since(start), nil
}

func send(ctx context.Context, src netip.Addr, dst netip.AddrPort, n int64) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))}
	c, err := d.DialContext(ctx, "tcp", dst.String())
	if err != nil {
		return err
	}
	defer c.Close()
	defer closeOn(ctx, c)()
	sum := sha256.New()
	block := make([]byte, 1<<20) // one random block and a counter, so that the generator costs nothing
	_, _ = rand.NewChaCha8([32]byte{}).Read(block)
	for i := uint64(0); n > 0; i++ {
		binary.BigEndian.PutUint64(block, i)
		b := block[:min(n, int64(len(block)))]
		sum.Write(b)
		if _, err := c.Write(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	if _, err := c.Write(sum.Sum(nil)); err != nil {
		return err
	}
	var ack [1]byte
	if _, err := io.ReadFull(c, ack[:]); err != nil {
		return fmt.Errorf("the receiver did not confirm: %w", err)
	}
	return nil
}

func receive(ctx context.Context, l net.Listener, n int64) error {
	defer closeOn(ctx, l)()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	defer closeOn(ctx, c)()
	sum := sha256.New()
	if _, err := io.CopyN(sum, c, n); err != nil {
		return err
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, want); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return errors.New("the received octets differ from the sent ones")
	}
	_, err = c.Write([]byte{1})
	return err
}

// closeOn closes c when the context ends, unless release was called.
func closeOn(ctx context.Context, c io.Closer) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.Close() })
}

// Stream is a stream of numbered UDP datagrams between two hosts, which counts lost, duplicated and
// reordered ones.
type Stream struct {
	Sent, Received, Doubled, Reordered atomic.Uint64

	rx, tx  net.PacketConn
	stop    context.CancelFunc
	ended   chan struct{} // no more are sent
	closed  chan struct{} // no more are received
	dst     net.Addr
	highest uint64
	seen    map[uint64]bool
}

// StartStream sends rate datagrams of size octets each second until Stop.
func StartStream(from *Host, src netip.Addr, to *Host, dst netip.Addr, rate, size int) (*Stream, error) {
	return StartStreamAt(from, src, dst, to, dst, rate, size)
}

// StartStreamAt is StartStream to a receiver whose own address, at, is not the one that is sent to.
func StartStreamAt(from *Host, src, dst netip.Addr, to *Host, at netip.Addr, rate, size int) (*Stream, error) {
	s := &Stream{ended: make(chan struct{}), closed: make(chan struct{}), seen: map[uint64]bool{}}
	listen := func(h *Host, a netip.Addr) (c net.PacketConn, err error) {
		err = h.Do(func() error {
			c, err = net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String())
			return err
		})
		return c, err
	}
	var err error
	if s.rx, err = listen(to, at); err != nil {
		return nil, err
	}
	if s.tx, err = listen(from, src); err != nil {
		s.rx.Close()
		return nil, err
	}
	_ = s.rx.(*net.UDPConn).SetReadBuffer(4 << 20)
	s.dst = net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, uint16(s.rx.LocalAddr().(*net.UDPAddr).Port)))
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go s.receiveAll()
	go s.sendAll(ctx, rate, max(size, 8))
	return s, nil
}

// maxCatchUp bounds the burst of a sender that was held up: a burst beyond a device's queue (500)
// would be lost, and show nothing about the tunnel.
const maxCatchUp = 100

func (s *Stream) sendAll(ctx context.Context, rate, size int) {
	defer close(s.ended)
	t := time.NewTicker(max(time.Millisecond, time.Second/time.Duration(4*rate)))
	defer t.Stop()
	start, b := time.Now(), make([]byte, size)
	for n := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			due := uint64(now.Sub(start).Seconds() * float64(rate))
			if late := due - min(due, n); late > maxCatchUp { // the machine stalled
				start, due = start.Add(time.Duration(late-maxCatchUp)*time.Second/time.Duration(rate)), n+maxCatchUp
			}
			for ; n < due && ctx.Err() == nil; n++ {
				binary.BigEndian.PutUint64(b, n)
				if _, err := s.tx.WriteTo(b, s.dst); err == nil {
					s.Sent.Add(1)
				}
			}
		}
	}
}

func (s *Stream) receiveAll() {
	defer close(s.closed)
	b := make([]byte, 65536)
	for {
		n, _, err := s.rx.ReadFrom(b)
		if err != nil {
			return
		}
		if n < 8 {
			continue
		}
		seq := binary.BigEndian.Uint64(b)
		switch {
		case s.seen[seq]:
			s.Doubled.Add(1)
			continue
		case seq < s.highest:
			s.Reordered.Add(1)
		default:
			s.highest = seq
		}
		s.seen[seq] = true
		s.Received.Add(1)
	}
}

// Stop ends the stream, waits for the datagrams on their way, at most for patience, and returns the
// number of lost ones.
func (s *Stream) Stop(patience time.Duration) (lost uint64) {
	s.stop()
	<-s.ended
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = Until(ctx, "the last datagrams", func() bool { return s.Received.Load() == s.Sent.Load() })
	s.rx.Close()
	s.tx.Close()
	<-s.closed
	return s.Sent.Load() - s.Received.Load()
}

// Missing returns the numbers that did not arrive, of those up to the last one that did. The stream
// must have been stopped.
func (s *Stream) Missing() (list []uint64) {
	for n := range s.highest {
		if !s.seen[n] {
			list = append(list, n)
		}
	}
	return list
}
