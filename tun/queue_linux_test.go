package tun

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"culvert/internal/ipheader"
	"culvert/tun/gso"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A packet that one worker writes for another comes from the other's queue, and the kernel sends
// the answers of the flow to that queue. Otherwise the answers of a flow whose packets two workers
// opened would be spread over both queues and overtake each other. What one worker reads for
// another is in the other's queue alone.
func TestWriteFor(t *testing.T) {
	h := newHost(t)
	// A router reports on a new link which IPv6 groups it joins (RFC 3810), in any queue.
	if err := h.Sysctl("ipv6/conf/all/disable_ipv6", "1"); err != nil {
		t.Fatal(err)
	}
	d := openIn(t, h, Config{Name: "tn0", Queues: 2})
	link, err := h.Netlink().LinkByName("tn0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := netlink.ParseAddr("10.1.0.1/8")
	if err := h.Netlink().AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	q := d.Queues()
	buf, p := make([]byte, gso.MaxPacket+64), gso.Packet{}
	const flows = 64
	// answer returns the queue that gets the answer to an echo request that one queue writes for
	// another.
	answer := func(host int, echo []byte) (queue int) {
		t.Helper()
		if err := q[1-host].(Helper).WriteFor(q[host], &gso.Packet{}, [][]byte{echo[:20], echo[20:]}); err != nil {
			t.Fatal(err)
		}
		fds := []unix.PollFd{{Fd: int32(q[0].FD()), Events: unix.POLLIN}, {Fd: int32(q[1].FD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); n != 1 {
			t.Fatalf("%d queues are readable, %v", n, err)
		}
		if fds[1].Revents != 0 {
			queue = 1
		}
		if err := q[1-queue].(Helper).ReadFor(q[queue], buf, 64, &p); err != nil {
			t.Fatal(err)
		}
		if err := q[queue].Read(buf, 64, &p); !errors.Is(err, ErrWouldBlock) {
			t.Fatalf("what was read for queue %d is still in it: %v", queue, err)
		}
		return queue
	}
	for host := range q {
		for i := range flows {
			echo := echoRequest(netip.AddrFrom4([4]byte{10, 2, byte(host), byte(i + 1)}), netip.AddrFrom4([4]byte{10, 1, 0, 1}))
			answer(host, echo) // by its hash: the kernel records the queue after the packet
			if got := answer(host, echo); got != host {
				t.Fatalf("the answers to flow %d are in queue %d, want %d", i, got, host)
			}
		}
	}
	if err := q[0].(Helper).WriteFor(nil, &p, nil); !errors.Is(err, errStranger) {
		t.Errorf("writing for a queue of something else: %v", err)
	}
	if err := q[0].(Helper).ReadFor(nil, buf, 64, &p); !errors.Is(err, errStranger) {
		t.Errorf("reading for a queue of something else: %v", err)
	}
}

// echoRequest returns an ICMP echo request.
func echoRequest(src, dst netip.Addr) []byte {
	b := make([]byte, 28)
	b[0], b[8], b[9], b[20] = 0x45, 64, 1, 8
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^ipheader.Sum(0, b[:20]))
	binary.BigEndian.PutUint16(b[22:], ^ipheader.Sum(0, b[20:]))
	return b
}
