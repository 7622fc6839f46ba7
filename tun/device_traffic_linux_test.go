package tun

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/internal/netlab"
	"culvert/internal/packettest"
	"culvert/tun/gso"

	"golang.org/x/sys/unix"
)

// carry moves packets from one device to the other by cross until done, and counts super-packets of
// each kind.
func carry(from, to Queue, done <-chan struct{}, supers *[4]atomic.Int64, cross func(p *gso.Packet, to Queue) error) error {
	buf := make([]byte, gso.MaxPacket+64)
	var p gso.Packet
	for {
		select {
		case <-done:
			return nil
		default:
		}
		err := from.Read(buf, 64, &p)
		if errors.Is(err, ErrWouldBlock) {
			fds := []unix.PollFd{{Fd: int32(from.FD()), Events: unix.POLLIN}}
			_, _ = unix.Poll(fds, 20)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		supers[p.GSO].Add(1)
		if err := cross(&p, to); err != nil {
			return fmt.Errorf("writing %d octets, GSO %d: %w", len(p.Data), p.GSO, err)
		}
	}
}

// crossWhole writes a packet unchanged, in three pieces.
func crossWhole(p *gso.Packet, to Queue) error {
	a, b := min(20, len(p.Data)), min(777, len(p.Data))
	return to.Write(p, [][]byte{p.Data[:a], p.Data[a:b], nil, p.Data[b:]})
}

// crossCut writes each segment by itself, like the far end of a tunnel without coalescing.
func crossCut(p *gso.Packet, to Queue) error {
	var seg gso.Segmenter
	if err := seg.Reset(p); err != nil {
		return err
	}
	for pkt := seg.Next(); pkt != nil; pkt = seg.Next() {
		if err := to.Write(&gso.Packet{}, [][]byte{pkt}); err != nil {
			return err
		}
	}
	return nil
}

// join carries packets both ways until the test ends, and returns the counts of super-packets that
// came from a.
func (j *joined) join(t *testing.T, cross func(p *gso.Packet, to Queue) error) *[4]atomic.Int64 {
	t.Helper()
	var supers, back [4]atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	start := func(from, to *Device, n *[4]atomic.Int64) {
		wg.Go(func() {
			if err := carry(from.Queues()[0], to.Queues()[0], done, n, cross); err != nil {
				t.Errorf("from %s: %v", from.Name(), err)
			}
		})
	}
	start(j.da, j.db, &supers)
	start(j.db, j.da, &back)
	t.Cleanup(func() { close(done); wg.Wait() })
	return &supers
}

// transfer sends data from a to b and back over TCP, and compares it.
func (j *joined) transfer(t *testing.T, to string, data []byte) {
	t.Helper()
	ln := listenIn(t, j.b, net.JoinHostPort(to, "7777"))
	defer ln.Close()
	echoed := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = io.CopyN(c, c, int64(len(data)))
			c.Close()
		}
		echoed <- err
	}()
	var c net.Conn
	if err := j.a.Do(func() (err error) { c, err = net.DialTimeout("tcp", ln.Addr().String(), 5*time.Second); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = c.Write(data) }()
	got := sha256.New()
	if _, err := io.CopyN(got, c, int64(len(data))); err != nil {
		t.Fatalf("after the TCP transfer to %s: %v", to, err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(got.Sum(nil), want[:]) {
		t.Errorf("what came back from %s is not what was sent", to)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

func listenIn(t *testing.T, h *netlab.Host, addr string) (ln net.Listener) {
	t.Helper()
	if err := h.Do(func() (err error) { ln, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	return ln
}

// udpRun sends one UDP_SEGMENT run from a to b and checks that each datagram arrives unchanged.
func (j *joined) udpRun(t *testing.T, to string) {
	t.Helper()
	const size, count = 1000, 20
	var rx, tx net.PacketConn
	if err := j.b.Do(func() (err error) { rx, err = net.ListenPacket("udp", net.JoinHostPort(to, "7778")); return err }); err != nil {
		t.Fatal(err)
	}
	defer rx.Close()
	if err := j.a.Do(func() (err error) { tx, err = net.ListenPacket("udp", ":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	raw, err := tx.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("the kernel has no UDP_SEGMENT: %v", err)
	}
	data := make([]byte, size*count-1) // the last is shorter
	for i := range count {
		binary.BigEndian.PutUint32(data[i*size:], uint32(i))
	}
	if _, err := tx.WriteTo(data, rx.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	_ = rx.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 2000)
	for i := range count {
		n, _, err := rx.ReadFrom(buf)
		if err != nil {
			t.Fatalf("datagram %d of %d to %s: %v", i, count, to, err)
		}
		want := data[i*size : min((i+1)*size, len(data))]
		if !bytes.Equal(buf[:n], want) {
			t.Fatalf("datagram %d to %s differs", i, to)
		}
	}
}

// Every combination of missing offloads, and both ways to write packets, carries the same octets.
func TestTrafficWithAndWithoutOffloads(t *testing.T) {
	data := packettest.RandomBytes(1 << 20)
	for _, disable := range []gso.Offloads{{}, {USO: true}, {TSO: true}, {TSO: true, USO: true}, {Checksum: true, TSO: true, USO: true}} {
		for name, cross := range map[string]func(*gso.Packet, Queue) error{"whole": crossWhole, "cut": crossCut} {
			t.Run(fmt.Sprintf("without %s/%s", disable, name), func(t *testing.T) {
				j := newJoined(t, disable)
				supers := j.join(t, cross)
				for _, to := range []string{"10.2.0.1", "fd00::2"} {
					j.transfer(t, to, data)
					j.udpRun(t, to)
				}
				can := j.da.Offloads()
				if got := supers[gso.TCPv4].Load() > 0 && supers[gso.TCPv6].Load() > 0; got != can.TSO {
					t.Errorf("TCP super-packets seen: %t, offload: %t", got, can.TSO)
				}
				if got := supers[gso.UDP].Load() > 0; got != can.USO {
					t.Errorf("UDP super-packets seen: %t, offload: %t", got, can.USO)
				}
			})
		}
	}
}

// The queue splits packets that the device cannot take whole, so that writers need not know which
// offloads the kernel lacks.
func TestWriteSplitsWhatTheKernelLacks(t *testing.T) {
	from := newJoined(t, gso.Offloads{})
	data := packettest.RandomBytes(1 << 20)
	lab := newJoined(t, gso.Offloads{Checksum: true, TSO: true, USO: true})
	mixed := &joined{a: from.a, da: from.da, b: lab.b, db: lab.db}
	supers := mixed.join(t, crossWhole)
	for _, to := range []string{"10.2.0.1", "fd00::2"} {
		mixed.transfer(t, to, data)
		mixed.udpRun(t, to)
	}
	if supers[gso.TCPv4].Load() == 0 || supers[gso.TCPv6].Load() == 0 {
		t.Error("no super-packet was split")
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	j := newJoined(t, gso.Offloads{})
	pkt := packettest.Sample{UDP: true, Payload: packettest.RandomBytes(1000)}.Build()
	q, to := j.da.Queues()[0], j.db.Queues()[0]
	var p gso.Packet
	buf := make([]byte, gso.MaxPacket+64)
	pieces := [][]byte{pkt[:28], pkt[28:]}
	if n := testing.AllocsPerRun(100, func() {
		p = gso.Packet{}
		if err := to.Write(&p, pieces); err != nil {
			t.Fatal(err)
		}
		_ = q.Read(buf, 64, &p)
	}); n != 0 {
		t.Errorf("%v allocations for each packet", n)
	}
}
