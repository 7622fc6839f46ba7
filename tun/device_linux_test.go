package tun

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"culvert/internal/netlab"
	"culvert/internal/packettest"
	"culvert/tun/gso"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestDeviceComesAndGoes(t *testing.T) {
	h := newHost(t)
	// A router reports on a new link which IPv6 groups it joins (RFC 3810).
	if err := h.Sysctl("ipv6/conf/all/forwarding", "0"); err != nil {
		t.Fatal(err)
	}
	d := openIn(t, h, Config{Name: "tn0", Queues: 2, MTU: 1390})
	link, err := h.Netlink().LinkByName("tn0")
	if err != nil {
		t.Fatal(err)
	}
	if a := link.Attrs(); a.MTU != 1390 || a.Flags&unix.IFF_UP == 0 || a.Index != d.Index() {
		t.Errorf("MTU %d, flags %v, index %d; want 1390, up, %d", a.MTU, a.Flags, a.Index, d.Index())
	}
	if len(d.Queues()) != 2 || d.Name() != "tn0" {
		t.Errorf("%d queues on %s", len(d.Queues()), d.Name())
	}
	addrs, err := h.Netlink().AddrList(link, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != 0 {
		t.Errorf("a fresh device has addresses %v, %v", addrs, err)
	}
	if err := d.SetMTU(1300); err != nil {
		t.Fatal(err)
	}
	if link, err = h.Netlink().LinkByName("tn0"); err != nil || link.Attrs().MTU != 1300 {
		t.Errorf("MTU %d, %v", link.Attrs().MTU, err)
	}
	var p gso.Packet
	if err := d.Queues()[0].Read(make([]byte, gso.MaxPacket+64), 64, &p); !errors.Is(err, ErrWouldBlock) {
		t.Errorf("a fresh device is not quiet: %v, %x", err, p.Data)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if h.HasLink("tn0") {
		t.Error("Close left the device")
	}
}

func TestOpenErrorsNameTheRemedy(t *testing.T) {
	h := newHost(t)
	openIn(t, h, Config{Name: "tn0", Queues: 2})
	if err := h.LAN("tlan"); err != nil {
		t.Fatal(err)
	}
	persistent := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tnp"}, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS}
	if err := h.Do(func() error { return netlink.LinkAdd(persistent) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"tn0", "exists already"},
		{"tlan", "exists already"},
		{"tnp", "exists already"}, // joining it would take packets of another program
		{"", "empty"},
		{"a-name-that-is-too-long", "longer than 15"},
		{"a/b", "not a valid device name"},
	} {
		d, err := tryOpen(h, Config{Name: c.name, Queues: 2})
		if err == nil {
			d.Close()
			t.Errorf("%q: opened", c.name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.name, err, c.want)
		}
	}
	if d := openIn(t, h, Config{Name: "tn%d"}); !strings.HasPrefix(d.Name(), "tn") || strings.Contains(d.Name(), "%") {
		t.Errorf("the kernel's number: %q", d.Name())
	}
}

// A deleted device ends its queues instead of leaving them to spin.
func TestDeletedDevice(t *testing.T) {
	h := newHost(t)
	d := openIn(t, h, Config{Name: "tn0"})
	link, err := h.Netlink().LinkByName("tn0")
	if err == nil {
		err = h.Netlink().LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	var p gso.Packet
	if err := d.Queues()[0].Read(make([]byte, gso.MaxPacket+64), 64, &p); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v, want os.ErrClosed", err)
	}
	if err := d.Queues()[0].Write(&p, [][]byte{packettest.Sample{}.Build()}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v, want os.ErrClosed", err)
	}
	if c := d.Counters(); c != nil {
		t.Errorf("counters of a device that is gone: %v", c)
	}
}

// A device that is set down is not gone: a read finds nothing and poll sleeps, a write loses its
// packet, and both work when the device is up again.
func TestDeviceFlaps(t *testing.T) {
	h := newHost(t)
	q := openIn(t, h, Config{Name: "tn0"}).Queues()[0]
	pkt := packettest.Sample{}.Build()
	for range 2 {
		if err := h.SetLink("tn0", false); err != nil {
			t.Fatal(err)
		}
		var p gso.Packet
		if err := q.Read(make([]byte, gso.MaxPacket+64), 64, &p); !errors.Is(err, ErrWouldBlock) {
			t.Errorf("Read while it is down: %v, want ErrWouldBlock", err)
		}
		if err := q.Write(&gso.Packet{}, [][]byte{pkt}); err == nil || errors.Is(err, os.ErrClosed) {
			t.Errorf("Write while it is down: %v, want an error that is not the device's end", err)
		}
		fds := []unix.PollFd{{Fd: int32(q.FD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err != nil || n != 0 {
			t.Errorf("poll names a device that is down: %#x, %v", fds[0].Revents, err)
		}
		if err := h.SetLink("tn0", true); err != nil {
			t.Fatal(err)
		}
		if err := q.Write(&gso.Packet{}, [][]byte{pkt}); err != nil {
			t.Errorf("Write when it is up again: %v", err)
		}
	}
}

// A queue that nobody reads is bounded: the newest packets are dropped, and the device counts them.
func TestFullQueue(t *testing.T) {
	h := newHost(t)
	d := openIn(t, h, Config{Name: "tn0"})
	_ = h.Sysctl("ipv6/conf/tn0/disable_ipv6", "1") // so that the kernel sends no packets itself
	addr, err := netlink.ParseAddr("10.9.0.1/24")
	if err == nil {
		var link netlink.Link
		if link, err = h.Netlink().LinkByName("tn0"); err == nil {
			err = h.Netlink().AddrAdd(link, addr)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var c net.Conn
	if err := h.Do(func() (err error) { c, err = net.Dial("udp", "10.9.0.2:9"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sent = 3000
	for i := range uint32(sent) {
		_, _ = c.Write(binary.BigEndian.AppendUint32(nil, i)) // the kernel returns ENOBUFS or no error
	}
	buf := make([]byte, gso.MaxPacket+64)
	received := uint64(0)
	for p := (gso.Packet{}); d.Queues()[0].Read(buf, 64, &p) == nil; received++ {
		if n := binary.BigEndian.Uint32(p.Data[len(p.Data)-4:]); uint64(n) != received {
			t.Fatalf("packet %d came as the %d-th: an older one was dropped", n, received)
		}
	}
	if got := d.Counters()["tun_kernel_drops"]; got == 0 || got+received != sent {
		t.Errorf("%d sent, %d received, %d counted as dropped", sent, received, got)
	}
}

// Two hosts whose devices the test joins like a tunnel:
//
//	host a, 10.1.0.1 fd00:1::1  tn0 == the test == tn0  host b, 10.2.0.1 fd00:2::1
type joined struct {
	a, b   *netlab.Host
	da, db *Device
}

func newJoined(t *testing.T, disable gso.Offloads) *joined {
	t.Helper()
	lab := netlab.Need(t)
	j := &joined{}
	for _, side := range []struct {
		h    **netlab.Host
		d    **Device
		addr []string
	}{{&j.a, &j.da, []string{"10.1.0.1/8", "fd00::1/64"}}, {&j.b, &j.db, []string{"10.2.0.1/8", "fd00::2/64"}}} {
		h, err := lab.Host("tn")
		if err != nil {
			t.Fatal(err)
		}
		*side.h, *side.d = h, openIn(t, h, Config{Name: "tn0", MTU: 1400, Disable: disable})
		link, err := h.Netlink().LinkByName("tn0")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range side.addr {
			addr, err := netlink.ParseAddr(s)
			if err != nil {
				t.Fatal(err)
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := h.Netlink().AddrAdd(link, addr); err != nil {
				t.Fatal(err)
			}
		}
	}
	return j
}
