package netio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// TestDirectIsAsTheKernelSends: the frames are those of the raw socket, octet by octet.
func TestDirectIsAsTheKernelSends(t *testing.T) {
	p := newDirectPair(t, 1)
	log, tx := newFrameLog(t, p.b, "nn0"), p.netA.ports[0]
	for _, v6 := range []bool{false, true} {
		for _, local := range []netip.Addr{addrA[v6], addrA2[v6]} {
			for _, tos := range []uint8{0, 2, 0xb9} {
				for _, size := range []int{28, 101, 1400} {
					out := Outgoing{Data: espPacket(uint32(size), size), Path: espPath(false, at(local, 0), at(addrB[v6], 0)), TOS: tos}
					mustGoDirect(t, p.netA, out)
					want := log.during(func() { throughStack(t, tx, out) })
					got := log.during(func() { mustGoDirect(t, p.netA, out) })
					if len(want) != 1 || len(got) == 0 || !bytes.Equal(got[len(got)-1], want[0]) {
						t.Fatalf("v6=%t from %s, TOS %#x, %d octets: got\n%x\nwant\n%x", v6, local, tos, size, got, want)
					}
				}
			}
		}
	}
}

// TestDirectNeedsPermission: without the right to packet sockets everything goes through the IP
// stack, and the log says so once.
func TestDirectNeedsPermission(t *testing.T) {
	p := newPair(t, 2)
	var log lines
	n := openIn(t, p.a, Config{IKEPort: 1500, NATPort: 14500, Workers: 2, RawESP: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := p.a.Do(func() error { // this thread ends with f
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := unix.Capget(&header, &caps[0]); err != nil {
			return err
		}
		caps[0].Effective &^= 1 << unix.CAP_NET_RAW
		if err := unix.Capset(&header, &caps[0]); err != nil {
			return err
		}
		n.openDirect(&Config{FastPath: true})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n.hops != nil || log.count("through the IP stack", "packet socket") != 1 {
		t.Errorf("without CAP_NET_RAW the log says\n%s", log.text.String())
	}
	raw := n.rawSockets()
	raw[0].bypass = &bypass{fd: -1}
	n.closeBypasses() // as if the first one had been allowed
	if len(raw) != 2*2*(1+maxSidings) || raw[0].bypass != nil {
		t.Errorf("%d raw sockets, and a packet socket is left: %v", len(raw), raw[0].bypass)
	}
	out := espOut(false, 100)
	if err := sendOne(n.Ports()[1], &out); err != nil || direct(n) != 0 {
		t.Errorf("%v, %d past the IP stack", err, direct(n))
	}
}

// TestDirectIsOnlyForProtocol50: neither UDP, nor what may be fragmented, nor what has no source
// passes by the IP stack.
func TestDirectIsOnlyForProtocol50(t *testing.T) {
	p := newDirectPair(t, 1)
	for _, v6 := range []bool{false, true} {
		out := espOut(v6, 100)
		mustGoDirect(t, p.netA, out)
		before := direct(p.netA)
		udp, fragment, any := out, out, out
		udp.Path = espPath(true, at(addrA[v6], 4500), at(addrB[v6], 4500))
		fragment.Fragment = true
		any.Path = out.Path.WithLocal(netip.Addr{})
		for _, o := range []Outgoing{udp, fragment, any} {
			if err := sendOne(p.netA.Ports()[0], &o); err != nil {
				t.Error(err)
			}
		}
		if n := direct(p.netA) - before; n != 0 {
			t.Errorf("v6=%t: %d were sent past the IP stack", v6, n)
		}
	}
}

// TestDirectVisitsTheStack: one packet goes through the IP stack when it is time, and what is
// larger than the device's MTU always does; the way stays, and only the latter is a fallback.
func TestDirectVisitsTheStack(t *testing.T) {
	p := newDirectPair(t, 1)
	for _, v6 := range []bool{false, true} {
		outs, _ := laidOut(v6, false, 0, times(10, 100)...)
		large := espOut(v6, 1600)
		mustGoDirect(t, p.netA, outs[0])
		e := asked(t, p.netA, outs[0])
		e.due.Store(0)
		before := p.netA.Counters()
		p.netA.Ports()[0].Send(outs)
		if err := sendOne(p.netA.Ports()[0], &large); !errors.Is(err, ErrTooBig) {
			t.Errorf("v6=%t: 1600 octets: %v", v6, err)
		}
		after := p.netA.Counters()
		for name, want := range map[string]uint64{"net_direct": 9, "net_direct_fallback": 1, "net_send_too_big": 1} {
			if n := after[name] - before[name]; n != want {
				t.Errorf("v6=%t: %s = %d, want %d", v6, name, n, want)
			}
		}
		if e.hop.Load() == nil {
			t.Errorf("v6=%t: the way was dropped", v6)
		}
	}
}

// TestDirectIsTooBig: a router's ICMP error about a packet that passed by the IP stack is received.
func TestDirectIsTooBig(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	link, err := p.b.Netlink().LinkByName("lan")
	if err == nil {
		err = p.b.Netlink().LinkSetMTU(link, 1300)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		if err := p.a.Route(behind[v6], viaNN0[v6], 0); err != nil {
			t.Fatal(err)
		}
		out := Outgoing{Data: espPacket(0xc0ffee01, 1400), Path: espPath(false, at(addrA[v6], 0), at(far[v6].Next(), 0))}
		mustGoDirect(t, p.netA, Outgoing{Data: out.Data[:100], Path: out.Path})
		before := direct(p.netA)
		until(t, "a packet past the IP stack", func() bool {
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-p.netA.TooBig():
				if want := (TooBig{out.Path, 0xc0ffee01, 1300}); got != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
				return direct(p.netA) > before
			case <-time.After(time.Second): // the kernel limits its errors
				return false
			}
		})
	}
}

// TestDirectQueueIsFull: packets that the device's queue or the send buffer has no room for are
// lost, each one counted, and the others arrive.
func TestDirectQueueIsFull(t *testing.T) {
	p := newDirectPair(t, 1)
	mustGoDirect(t, p.netA, espOut(false, 100))
	empty(p.netB.Ports()[0])
	tx := p.netA.ports[0]
	s := tx.out.sock
	for name, buffer := range map[string]int{"queue": socketBuffer, "buffer": 4608} {
		if err := p.a.Shape("nn0", 5_000_000, 20_000, false); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptInt(s.bypass.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer); err != nil {
			t.Fatal(err)
		}
		outs, _ := laidOut(false, false, 0, times(60, 1300)...)
		counters := p.netA.Counters()
		tx.Send(outs)
		lost, come := 0, 0
		for i := range outs {
			if lost += outs[i].Lost; outs[i].Lost != 0 && !errors.Is(outs[i].Err, errNoBuffers) {
				t.Errorf("%s: %v", name, outs[i].Err)
			}
		}
		for ; come < len(outs)-lost; come++ {
			recv(t, p.netB.Ports()[0], nil)
		}
		after := p.netA.Counters()
		past := after["net_direct"] - counters["net_direct"] // one may be due for the IP stack
		if lost == 0 || lost == len(outs) || after["net_send_no_buffers"]-counters["net_send_no_buffers"] != uint64(lost) || past+uint64(lost)+1 < uint64(len(outs)) {
			t.Errorf("%s: %d were lost; counters %v", name, lost, after)
		}
		if err := p.a.Unshape("nn0"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirectPriority: packets have the priority in the device's queue that the kernel gives to
// those of a raw socket, and each batch is of one.
func TestDirectPriority(t *testing.T) {
	p := newDirectPair(t, 1)
	tx := p.netA.ports[0]
	for _, tt := range []struct {
		v6   bool
		tos  uint8
		want int
	}{{false, 0, 0}, {false, 3, 0}, {false, 0x20, 0}, {false, 0x28, 2}, {false, 0x10, 6}, {false, 0xb8, 4}, {true, 0xb8, 0}} {
		out := espOut(tt.v6, 100)
		out.TOS = tt.tos
		mustGoDirect(t, p.netA, out)
		b := tx.out.sock.bypass
		got, err := unix.GetsockoptInt(b.fd, unix.SOL_SOCKET, unix.SO_PRIORITY)
		if err != nil || got != tt.want || b.priority != tt.want {
			t.Errorf("v6=%t, TOS %#x: priority %d, want %d: %v", tt.v6, tt.tos, got, tt.want, err)
		}
	}
	if !tx.out.sock.bypass.use(0) || (&bypass{fd: -1}).use(6) {
		t.Error("a socket that takes no priority took one")
	}
}

// TestDirectDeviceIsLost: packets to a device that is down, or has a smaller MTU, have the raw
// socket's error, and sending goes on past the IP stack when it is back, even as another device.
func TestDirectDeviceIsLost(t *testing.T) {
	p := newDirectPair(t, 1)
	for name, value := range map[string]string{"keep_addr_on_down": "1", "accept_dad": "0"} {
		if err := p.a.Sysctl("ipv6/conf/nn0/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, v6 := range []bool{false, true} {
		outs, _ := laidOut(v6, false, 0, times(20, 1400)...)
		mustGoDirect(t, p.netA, outs[0])
		fails := func(what string, ok func(error) bool) {
			t.Helper()
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				if outs[i].Lost != 1 || !ok(outs[i].Err) {
					t.Errorf("v6=%t, %s: lost %d, %v", v6, what, outs[i].Lost, outs[i].Err)
				}
			}
		}
		setMTU(t, p.a, 1300)
		fails("with a smaller MTU", func(err error) bool { return errors.Is(err, ErrTooBig) })
		setMTU(t, p.a, 1500)
		mustGoDirect(t, p.netA, outs[0])
		if err := p.a.SetLink("nn0", false); err != nil {
			t.Fatal(err)
		}
		fails("down", func(err error) bool { return Obstacle(err) == ipsec.ObstacleRoute })
		if err := p.a.SetLink("nn0", true); err != nil {
			t.Fatal(err)
		}
		waitUp(t, p.a)
		mustGoDirect(t, p.netA, outs[0])
	}
	link, err := p.a.Netlink().LinkByName("nn0")
	if err == nil {
		err = p.a.Netlink().LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := espOut(false, 100)
	if err := sendOne(p.netA.Ports()[0], &out); err == nil {
		t.Error("sent by a device that is gone")
	}
	if err := p.lab.Link(netlab.Iface{Host: p.a, Name: "nn0", Addrs: []string{"192.0.2.1/24"}}, netlab.Iface{Host: p.b, Name: "nn0", Addrs: []string{"192.0.2.2/24"}}, 1500); err != nil {
		t.Fatal(err)
	}
	waitUp(t, p.a)
	empty(p.netB.Ports()[0])
	mustGoDirect(t, p.netA, out)
	if in := recv(t, p.netB.Ports()[0], nil); !bytes.Equal(in.Data, out.Data) {
		t.Error("something else came")
	}
}

// TestDirectKeepsTheOrder: a packet that goes through the IP stack on purpose, and those for which
// the way was dropped, stay in their places.
func TestDirectKeepsTheOrder(t *testing.T) {
	p := newDirectPair(t, 1)
	for _, v6 := range []bool{false, true} {
		mustGoDirect(t, p.netA, espOut(v6, 100))
		empty(p.netB.Ports()[0])
		sent, before := uint32(0), direct(p.netA)
		for round := range 300 {
			outs, _ := laidOut(v6, false, 0, times(1+round%50, 100)...)
			for i := range outs {
				binary.BigEndian.PutUint32(outs[i].Data[4:], sent+uint32(i))
			}
			switch round % 10 {
			case 3:
				visitAll(p.netA)
			case 7:
				p.netA.hops.dropAll()
			}
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				if n := binary.BigEndian.Uint32(recv(t, p.netB.Ports()[0], nil).Data[4:]); n != sent+uint32(i) {
					t.Fatalf("v6=%t: packet %d came in the place of %d", v6, n, sent+uint32(i))
				}
			}
			sent += uint32(len(outs))
		}
		if n := direct(p.netA) - before; n == 0 || n == uint64(sent) {
			t.Errorf("v6=%t: %d of %d were sent past the IP stack", v6, n, sent)
		}
	}
}
