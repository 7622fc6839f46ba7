package netio

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestAddressesAndTOS(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		data := espPacket(0xc0ffee01, 300)
		out := Outgoing{Data: data, Path: espPath(encap, at(addrA2[v6], port), at(addrB2[v6], port)), TOS: 0xb9}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		in := recv(t, p.netB.Ports()[0], buf)
		want := Received{Kind: ESP, Data: data, Path: espPath(encap, at(addrB2[v6], port), at(addrA2[v6], port)), TOS: 0xb9}
		if !bytes.Equal(in.Data, want.Data) || in.Kind != ESP || in.Path != want.Path || in.TOS != want.TOS {
			t.Errorf("got %+v, want %+v", in, want)
		}
		// Without a source the system chooses one.
		out.Path, out.TOS = out.Path.WithLocal(netip.Addr{}), 0
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		if in := recv(t, p.netB.Ports()[0], buf); in.TOS != 0 || in.Path.Local() != want.Path.Local() {
			t.Errorf("got %+v, want TOS 0 to %v", in, want.Path.Local())
		}
	})
}

func TestRunsArriveWhole(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		const size, count, last = 1400, 70, 33 // more than one UDP_SEGMENT send, and a shorter end
		want := bytes.Repeat(espPacket(0xc0ffee01, size), count)
		want = append(want, espPacket(0xc0ffee01, last)...)
		out := Outgoing{Data: want, SegSize: size, Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))}
		for _, refuse := range []bool{false, true} { // as on a kernel or device that refuses UDP_SEGMENT
			if refuse {
				p.netA.ports[0].refused.add(addrB[v6], time.Now())
			}
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for len(got) < len(want) {
				in := recv(t, p.netB.Ports()[0], buf)
				if in.Kind != ESP || in.SegSize != 0 && in.SegSize != size || in.SegSize == 0 && len(in.Data) > size {
					t.Fatalf("kind %d, %d octets cut every %d", in.Kind, len(in.Data), in.SegSize)
				}
				got = append(got, in.Data...)
			}
			if !bytes.Equal(got, want) {
				t.Error("the run did not arrive as it was sent")
			}
		}
		p.netA.ports[0].refused = refusals{}
	})
	if n := p.netA.Counters()["net_gso_refused"]; n != 0 {
		t.Errorf("UDP_SEGMENT was refused %d times over a veth", n)
	}
}

func TestTooBigAndLinkMTU(t *testing.T) {
	p := newPair(t, 1)
	for v6, dst := range map[bool]string{false: "192.0.2.2/32", true: "2001:db8::2/128"} {
		if got := linkMTU(t, p, v6); got != 1500 {
			t.Errorf("v6=%t: LinkMTU = %d before, want 1500", v6, got)
		}
		if err := p.a.Route(dst, addrB2[v6].String(), 1400); err != nil {
			t.Fatal(err)
		}
		if got := linkMTU(t, p, v6); got != 1400 {
			t.Errorf("v6=%t: LinkMTU = %d with a route's of 1400", v6, got)
		}
	}
	link, err := p.a.Netlink().LinkByName("nn0")
	if err == nil {
		err = p.a.Netlink().LinkSetMTU(link, 1300)
	}
	if err != nil {
		t.Fatal(err)
	}
	for v6 := range addrA {
		if got := linkMTU(t, p, v6); got != 1300 {
			t.Errorf("v6=%t: LinkMTU = %d with a device's of 1300", v6, got)
		}
	}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		tx := p.netA.Ports()[0]
		out := Outgoing{Data: espPacket(0xc0ffee01, 1301), Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))}
		if err := sendOne(tx, &out); !errors.Is(err, ErrTooBig) {
			t.Errorf("one datagram of %d: %v, want ErrTooBig", len(out.Data), err)
		}
		out.Data, out.SegSize = bytes.Repeat(espPacket(0xc0ffee01, 1400), 5), 1400
		if err := sendOne(tx, &out); !errors.Is(err, ErrTooBig) {
			t.Errorf("a run of 1400: %v, want ErrTooBig", err)
		}
		out.Data, out.SegSize = bytes.Repeat(espPacket(0xc0ffee01, 1200), 5), 1200
		if err := sendOne(tx, &out); err != nil {
			t.Errorf("a run of 1200: %v", err)
		}
	})
	if p.netA.ports[0].refused.n != 0 {
		t.Error("a segment above the device's MTU was taken for a kernel without UDP_SEGMENT")
	}
	if c := p.netA.Counters(); c["net_send_too_big"] != 4*(1+5) {
		t.Errorf("net_send_too_big = %d, want 24", c["net_send_too_big"])
	}
}

// A fragmentable datagram crosses any path, whole to any receiver.
func TestFragment(t *testing.T) {
	p := newPair(t, 2)
	buf := make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		want := espPacket(1000, 4000)
		out := Outgoing{Data: want, Path: espPath(encap, at(addrA2[v6], port), at(addrB[v6], port)), TOS: 4, Fragment: true}
		if err := sendOne(p.netA.Ports()[1], &out); err != nil {
			t.Fatal(err)
		}
		to := p.receiver(1000, v6, encap)
		in := recv(t, p.netB.Ports()[to], buf)
		if !bytes.Equal(in.Data, want) || in.Path.Remote() != at(addrA2[v6], port) || in.TOS != 4 {
			t.Errorf("%d octets from %s, TOS %d", len(in.Data), in.Path.Remote(), in.TOS)
		}
		out.Data, out.SegSize = bytes.Repeat(espPacket(1000, 2000), 3), 2000
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if in := recv(t, p.netB.Ports()[to], buf); len(in.Data) != 2000 {
				t.Errorf("%d octets of a run", len(in.Data))
			}
		}
		mustBeDry(t, p.netB.Ports()[1-to], buf)
	})
}

func linkMTU(t *testing.T, p *pair, v6 bool) (mtu int) {
	t.Helper()
	if err := p.a.Do(func() error { mtu = p.netA.LinkMTU(addrA[v6], addrB[v6]); return nil }); err != nil {
		t.Fatal(err)
	}
	return mtu
}

func TestLocalAddr(t *testing.T) {
	p := newPair(t, 1)
	err := p.a.Do(func() error {
		for v6 := range addrA {
			got, err := p.netA.LocalAddr(addrB[v6])
			if err != nil || got != addrA[v6] && got != addrA2[v6] {
				t.Errorf("LocalAddr(%s) = %s, %v", addrB[v6], got, err)
			}
		}
		if got, err := p.netA.LocalAddr(netip.MustParseAddr("198.51.100.1")); err == nil {
			t.Errorf("a local address for an unreachable peer: %s", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedIsCounted(t *testing.T) {
	p := newPair(t, 1)
	out := Outgoing{Data: espPacket(0xc0ffee01, 500), Path: espPath(true, netip.AddrPort{}, at(addrB[false], 4500))}
	if err := sendOne(p.netA.Ports()[0], &out); err != nil {
		t.Fatal(err)
	}
	rx := p.netB.Ports()[0]
	for !poll(rx, 0) {
	}
	p.netB.ports[0].burst.room = 100
	p.netB.ports[0].burst.prepare()
	mustBeDry(t, rx, nil)
	if got := p.netB.Counters()["net_truncated"]; got != 1 {
		t.Errorf("net_truncated = %d, want 1", got)
	}
}

func TestNoAllocations(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		out := Outgoing{Data: espPacket(0xc0ffee01, 1200), SegSize: 600, Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))}
		tx, rx, outs := p.netA.Ports()[0], p.netB.Ports()[0], []Outgoing{out, out}
		fds := len(rx.FDs())
		var in Received
		if n := testing.AllocsPerRun(100, func() {
			if tx.Send(outs); outs[0].Err != nil || outs[1].Err != nil {
				t.Fatal(outs[0].Err, outs[1].Err)
			}
			for i := range fds {
				rx.Ready(i)
			}
			for rx.Recv(buf, &in) == nil {
			}
		}); n != 0 {
			t.Errorf("%v allocations for each run", n)
		}
	})
}

func TestCloseEndsReadIKE(t *testing.T) {
	p := newPair(t, 1)
	done := make(chan error)
	go func() {
		done <- p.netA.ReadIKE(make([]byte, 100), new(Received))
	}()
	p.netA.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadIKE after Close: %v, want net.ErrClosed", err)
	}
	if err := p.netA.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}
