package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Datagrams is a paced sender of UDP datagrams and a receiver that counts them, between two hosts.
// Both cost little in comparison with what they measure: they use sendmmsg and recvmmsg, do not
// wake up for each datagram, and read only its number. The sender's kernel handles each datagram by
// itself (no UDP_SEGMENT). It is not safe for concurrent use.
type Datagrams struct {
	tx, rx int
	to     []unix.RawSockaddrInet4 // taken in turn; none: the sender's socket is connected
	run    uint32                  // in each datagram, so that late ones of a run are not counted in the next
}

// DatagramCount is the result of one run.
type DatagramCount struct {
	Sent, Received uint64
	Reordered      uint64        // arrived after a datagram to the same address that was sent later
	Overflowed     uint64        // those of the lost ones that the receiver's own socket buffer dropped
	Took           time.Duration // the time of the sending
	Span           time.Duration // until the last one arrived; never less than Took
}

const (
	datagramBatch = 64
	// datagramHeader is the length of the run and the number.
	datagramHeader = 4 + 8
	// nap is the sleep of sender and receiver when they are idle.
	nap = 200 * time.Microsecond
	// backlog bounds the delay that a sender makes up for after it was kept from running. Older
	// datagrams are skipped: a larger burst would measure the queues on the path rather than a
	// sustainable rate.
	backlog = time.Millisecond
)

// NewDatagrams opens the sockets for datagrams to one address; Close closes them.
func NewDatagrams(from *Host, src netip.Addr, to *Host, dst netip.Addr) (*Datagrams, error) {
	d := &Datagrams{tx: -1, rx: -1}
	err := to.Do(func() (err error) { d.rx, err = udpSocket(dst); return err })
	if err == nil {
		err = from.Do(func() (err error) { d.tx, err = udpSocket(src); return err })
	}
	var local unix.Sockaddr
	if err == nil {
		local, err = unix.Getsockname(d.rx)
	}
	if err == nil {
		err = unix.Connect(d.tx, local)
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("UDP from %s to %s: %w", src, dst, err)
	}
	return d, nil
}

// NewDatagramsToMany opens the sockets for datagrams to several IPv4 addresses of a host, which are
// taken in turn; Close closes them.
func NewDatagramsToMany(from *Host, src netip.Addr, to *Host, dst []netip.Addr) (*Datagrams, error) {
	d := &Datagrams{tx: -1, rx: -1}
	err := to.Do(func() (err error) { d.rx, err = udpSocket(netip.IPv4Unspecified()); return err })
	if err == nil {
		err = from.Do(func() (err error) { d.tx, err = udpSocket(src); return err })
	}
	var local unix.Sockaddr
	if err == nil {
		local, err = unix.Getsockname(d.rx)
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("UDP from %s to %d addresses: %w", src, len(dst), err)
	}
	port := uint16(local.(*unix.SockaddrInet4).Port)
	for _, a := range dst {
		d.to = append(d.to, unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port<<8 | port>>8, Addr: a.As4()})
	}
	return d, nil
}

// Close closes the sockets.
func (d *Datagrams) Close() {
	for _, fd := range []int{d.tx, d.rx} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func udpSocket(a netip.Addr) (int, error) {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: a.Unmap().As4()})
	if a.Is6() {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Addr: a.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// On a busy machine the receiver may be kept from running for long: its buffer must have room.
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 32<<20); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Run offers rate datagrams per second for the given time and counts the arrivals. Their sizes, in
// octets of payload (12 at least), are taken in turn. It offers fewer if the machine keeps the
// sender from running: see Sent.
func (d *Datagrams) Run(ctx context.Context, rate float64, sizes []int, length time.Duration) (DatagramCount, error) {
	d.run++
	before, err := socketDrops(d.rx)
	if err != nil {
		return DatagramCount{}, err
	}
	r := receiver{fd: d.rx, run: d.run, highest: make([]uint64, max(len(d.to), 1)), stop: make(chan struct{}), ended: make(chan error, 1)}
	go r.loop()
	var c DatagramCount
	begun := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- c.send(ctx, d, rate, sizes, length) }()
	sendErr := <-sent
	if sendErr == nil {
		r.settle(c.Sent, length)
	}
	close(r.stop)
	if err := errors.Join(sendErr, <-r.ended); err != nil {
		return c, err
	}
	after, err := socketDrops(d.rx)
	c.Received, c.Reordered, c.Overflowed = r.received.Load(), r.reordered, after-before
	c.Span = max(c.Took, r.last.Sub(begun))
	return c, err
}

// send is the sender, on a thread of its own.
func (c *DatagramCount) send(ctx context.Context, d *Datagrams, rate float64, sizes []int, length time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := newMsgs(datagramBatch, max(slices.Max(sizes), datagramHeader), 0)
	catchUp := rate*backlog.Seconds() + 1
	begun := time.Now()
	for given := 0.0; ; {
		c.Took = min(time.Since(begun), length)
		due := rate*c.Took.Seconds() - given
		given += max(due-catchUp, 0) // skipped
		for due = min(due, catchUp); due >= 1; {
			for i := range min(int(due), datagramBatch) {
				n := c.Sent + uint64(i)
				binary.BigEndian.PutUint32(m.bufs[i], d.run)
				binary.BigEndian.PutUint64(m.bufs[i][4:], n)
				m.iovs[i].SetLen(max(sizes[n%uint64(len(sizes))], datagramHeader))
				if len(d.to) > 0 {
					m.address(i, &d.to[n%uint64(len(d.to))])
				}
			}
			n, err := m.send(d.tx, min(int(due), datagramBatch))
			if err != nil && err != unix.EINTR && err != unix.ENOBUFS {
				return fmt.Errorf("sending datagrams: %w", err)
			}
			c.Sent += uint64(n)
			given += float64(max(n, 1)) // a datagram without a buffer is not sent again
			due -= float64(max(n, 1))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.Took == length {
			return nil
		}
		sleep(nap)
	}
}

// sleep blocks the thread: a sleeping goroutine wakes with a precision of a millisecond only.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

// receiver counts the arrivals.
type receiver struct {
	fd        int
	run       uint32
	received  atomic.Uint64
	reordered uint64
	highest   []uint64  // by destination, whose numbers are apart by the number of destinations
	last      time.Time // of the last arrival
	stop      chan struct{}
	ended     chan error
}

func (r *receiver) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := newMsgs(4*datagramBatch, datagramHeader, 0)
	for {
		n, err := m.receive(r.fd)
		if err != nil {
			r.ended <- fmt.Errorf("receiving datagrams: %w", err)
			return
		}
		var mine uint64
		for i := range n {
			b := m.text(i)
			if len(b) < datagramHeader || binary.BigEndian.Uint32(b) != r.run {
				continue
			}
			mine++
			seq := binary.BigEndian.Uint64(b[4:])
			if highest := &r.highest[seq%uint64(len(r.highest))]; seq < *highest {
				r.reordered++
			} else {
				*highest = seq
			}
		}
		if mine > 0 {
			r.received.Add(mine)
			r.last = time.Now()
		}
		if n == len(m.hdrs) {
			continue
		}
		select {
		case <-r.stop:
			r.ended <- nil
			return
		default:
			sleep(nap)
		}
	}
}

// settle waits until all datagrams have arrived, or none has for a while: half the length of the
// run, within limits.
func (r *receiver) settle(sent uint64, length time.Duration) {
	patience := min(max(length/2, 50*time.Millisecond), 250*time.Millisecond)
	for last, since := r.received.Load(), time.Now(); last < sent && time.Since(since) < patience; {
		time.Sleep(5 * time.Millisecond)
		if now := r.received.Load(); now != last {
			last, since = now, time.Now()
		}
	}
}
