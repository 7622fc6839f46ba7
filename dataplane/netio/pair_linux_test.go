package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Two hosts on one link, each with a second address of each family:
//
//	a 192.0.2.1, 192.0.2.11    veth, MTU 1500    192.0.2.2, 192.0.2.22 b
//	  2001:db8::1, ::11                          2001:db8::2, ::22
type pair struct {
	lab        *netlab.Lab
	a, b       *netlab.Host
	netA, netB *Net
}

var (
	addrA  = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.1"), true: netip.MustParseAddr("2001:db8::1")}
	addrA2 = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.11"), true: netip.MustParseAddr("2001:db8::11")}
	addrB  = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.2"), true: netip.MustParseAddr("2001:db8::2")}
	addrB2 = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.22"), true: netip.MustParseAddr("2001:db8::22")}
)

const testMark = 0x4303

func newPair(t testing.TB, workers int) *pair {
	t.Helper()
	lab := netlab.Need(t)
	p := &pair{lab: lab, a: newHost(t, lab, "nn-a"), b: newHost(t, lab, "nn-b")}
	if err := lab.Link(netlab.Iface{Host: p.a, Name: "nn0", Addrs: []string{"192.0.2.1/24", "192.0.2.11/24", "2001:db8::1/64", "2001:db8::11/64"}},
		netlab.Iface{Host: p.b, Name: "nn0", Addrs: []string{"192.0.2.2/24", "192.0.2.22/24", "2001:db8::2/64", "2001:db8::22/64"}}, 1500); err != nil {
		t.Fatal(err)
	}
	waitUp(t, p.a)
	waitUp(t, p.b)
	cfg := Config{IKEPort: 500, NATPort: 4500, Workers: workers, Mark: testMark, RawESP: true}
	p.netA, p.netB = openIn(t, p.a, cfg), openIn(t, p.b, cfg)
	return p
}

// waitUp waits for the kernel to notice that the link is up: before that it drops packets, and asks
// for neighbours again only a second later.
func waitUp(t testing.TB, h *netlab.Host) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if link, err := h.Netlink().LinkByName("nn0"); err == nil && link.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Fatal("the link does not come up")
}

func newHost(t testing.TB, lab *netlab.Lab, name string) *netlab.Host {
	t.Helper()
	h, err := lab.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openIn(t testing.TB, h *netlab.Host, cfg Config) *Net {
	t.Helper()
	n, err := tryOpen(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func tryOpen(h *netlab.Host, cfg Config) (n *Net, err error) {
	err = h.Do(func() error {
		n, err = Open(cfg)
		return err
	})
	return n, err
}

// recv waits for the next datagram on a port.
func recv(t *testing.T, p Port, buf []byte) Received {
	t.Helper()
	var in Received
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := p.Recv(buf, &in)
		if err == nil {
			return in
		}
		if !errors.Is(err, ErrWouldBlock) {
			t.Fatalf("Recv: %v", err)
		}
		if !poll(p, time.Until(deadline)) {
			t.Fatal("nothing arrived")
		}
	}
}

// poll waits until a port can be read, and marks it ready; false: it timed out.
func poll(p Port, d time.Duration) bool {
	var fds []unix.PollFd
	for _, fd := range p.FDs() {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	n, err := unix.Poll(fds, int(max(0, d.Milliseconds())))
	if err != nil {
		return errors.Is(err, unix.EINTR)
	}
	for i := range fds {
		if fds[i].Revents != 0 {
			p.Ready(i)
		}
	}
	return n > 0
}

// lookEverywhere makes the next Recv look at all descriptors.
func lookEverywhere(p Port) {
	for i := range p.FDs() {
		p.Ready(i)
	}
}

// mustBeDry fails if anything waits on the port.
func mustBeDry(t *testing.T, p Port, buf []byte) {
	t.Helper()
	var in Received
	lookEverywhere(p)
	if err := p.Recv(buf, &in); !errors.Is(err, ErrWouldBlock) {
		t.Fatalf("Recv = %v (kind %d, %d octets), want ErrWouldBlock", err, in.Kind, len(in.Data))
	}
}

// receiver returns the worker of two or more that receives protocol 50, or the packets of an SPI
// over UDP.
func (p *pair) receiver(spi uint32, v6, encap bool) int {
	switch {
	case encap:
		return WorkerOf(spi, len(p.netB.ports))
	case v6: // the second listen address
		return 1
	}
	return 0
}

// espPacket returns a packet that looks like ESP to the sockets.
func espPacket(spi uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	b[0], b[1], b[2], b[3] = byte(spi>>24), byte(spi>>16), byte(spi>>8), byte(spi)
	return b
}

// each runs f for both families and both encapsulations.
func each(t *testing.T, f func(t *testing.T, v6, encap bool, port uint16)) {
	for _, v6 := range []bool{false, true} {
		for _, encap := range []bool{true, false} {
			port := uint16(0)
			if encap {
				port = 4500
			}
			t.Run(fmt.Sprintf("v6=%t/udp=%t", v6, encap), func(t *testing.T) { f(t, v6, encap, port) })
		}
	}
}

// sendOne sends out alone.
func sendOne(p Port, out *Outgoing) error {
	outs := [1]Outgoing{*out}
	p.Send(outs[:])
	return outs[0].Err
}
