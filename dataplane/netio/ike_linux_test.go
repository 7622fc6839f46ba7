package netio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// readIKE waits for the next datagram of the control plane's sockets.
func readIKE(t *testing.T, n *Net, buf []byte) (in Received) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- n.ReadIKE(buf, &in) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("ReadIKE: %v", err)
		}
	case <-time.After(5 * time.Second):
		n.Close()
		<-done
		t.Fatal("nothing arrived")
	}
	return in
}

// wantCounter waits until a counter has a value.
func wantCounter(t *testing.T, n *Net, name string, want uint64) {
	t.Helper()
	var got uint64
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if got = n.Counters()[name]; got == want {
			return
		}
	}
	t.Errorf("%s = %d, want %d", name, got, want)
}

func TestIKE(t *testing.T) {
	p := newPair(t, 2)
	for _, path := range []ipsec.Path{{}, ipsec.UDPPath(at(addrA[false], 500), netip.AddrPort{}), ipsec.RawPath(addrA[false], addrB[false])} {
		errs := []error{p.netA.SendIKE(path, []byte("x")), p.netA.ProbeIKE(path, []byte("x")), p.netA.SendKeepalive(path)}
		if slices.Contains(errs, nil) {
			t.Errorf("IKE was sent on %v: %v", path, errs)
		}
	}
	buf := make([]byte, 65535)
	for v6 := range addrA {
		for _, size := range []int{28, 1472, 9000} { // the last in IP fragments
			msg := espPacket(0x11223344, size)
			if err := p.netA.SendIKE(ikePath(false, at(addrA2[v6], 500), at(addrB2[v6], 500)), msg); err != nil {
				t.Fatal(err)
			}
			in := readIKE(t, p.netB, buf)
			if in.Kind != IKE || !bytes.Equal(in.Data, msg) || in.Path != ipsec.UDPPath(at(addrB2[v6], 500), at(addrA2[v6], 500)) {
				t.Errorf("port 500, v6=%t: %d octets to %s from %s", v6, len(in.Data), in.Path.Local(), in.Path.Remote())
			}
			if err := p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(addrB[v6], 4500)), msg); err != nil {
				t.Fatal(err)
			}
			in = readIKE(t, p.netB, buf)
			if in.Kind != IKE || !bytes.Equal(in.Data, msg) || in.Path.Via() != ipsec.NAT || in.Path.Remote().Port() != 4500 || in.Path.Local() != at(addrB[v6], 4500) {
				t.Errorf("port 4500, v6=%t, %d octets: got kind %d, %d octets to %s from %s", v6, size, in.Kind, len(in.Data), in.Path.Local(), in.Path.Remote())
			}
		}
		if err := p.netA.SendKeepalive(ipsec.NATPath(at(addrA[v6], 4500), at(addrB[v6], 4500))); err != nil {
			t.Fatal(err)
		}
	}
	wantCounter(t, p.netB, "net_keepalives_in", 2)
	for _, port := range p.netB.Ports() {
		mustBeDry(t, port, buf)
	}
}

// A coalesced run goes to the socket that its first datagram selects, whatever follows.
func TestMixedRuns(t *testing.T) {
	esp, ike := espPacket(0xc0ffee01, 100), append([]byte{0, 0, 0, 0}, espPacket(0x1234, 96)...)
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	send := func(datagrams ...[]byte) {
		t.Helper()
		out := Outgoing{Data: bytes.Join(datagrams, nil), SegSize: 100, Path: espPath(true, netip.AddrPort{}, at(addrB[false], 4500))}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
	}
	check := func(in *Received, kind Kind, data []byte) {
		t.Helper()
		if in.Kind != kind || !bytes.Equal(in.Data, data) || in.SegSize != 0 || in.Path.Via() != ipsec.NAT || in.Path.Remote().Addr() != addrA[false] && in.Path.Remote().Addr() != addrA2[false] {
			t.Errorf("kind %d, %x from %s; want kind %d, %x", in.Kind, in.Data, in.Path.Remote(), kind, data)
		}
	}
	send(esp, ike, esp, []byte{0xff})
	var came []Received
	for _, want := range []struct {
		kind Kind
		data []byte
	}{{ESP, esp}, {IKE, ike[4:]}, {ESP, esp}, {Keepalive, []byte{0xff}}} {
		in := recv(t, p.netB.Ports()[0], buf)
		check(&in, want.kind, want.data)
		if in.More != (want.kind != Keepalive) {
			t.Errorf("kind %d: more: %v", want.kind, in.More)
		}
		came = append(came, in)
	}
	for i, want := range [][]byte{esp, ike[4:], esp, {0xff}} {
		if !bytes.Equal(came[i].Data, want) {
			t.Errorf("piece %d did not last until the run's end", i)
		}
	}
	send(ike, esp, ike, []byte{0xff})
	for _, want := range []struct {
		kind Kind
		data []byte
	}{{IKE, ike[4:]}, {ESP, esp}, {IKE, ike[4:]}} {
		in := readIKE(t, p.netB, buf)
		check(&in, want.kind, want.data)
	}
	wantCounter(t, p.netB, "net_keepalives_in", 2)
	mustBeDry(t, p.netB.Ports()[0], buf)
}

// Unread ESP fills only its own socket's buffer: IKE arrives, and the losses are counted when the
// socket is read again.
func TestESPTakesNoRoomFromIKE(t *testing.T) {
	const workers = 2
	p := newPair(t, workers)
	buf := make([]byte, 65535)
	for v6 := range addrA {
		flood := Outgoing{Data: espPacket(workers*1000, 1200), Path: espPath(true, netip.AddrPort{}, at(addrB[v6], 4500))}
		for range 3 * socketBuffer / len(flood.Data) {
			if err := sendOne(p.netA.Ports()[0], &flood); err != nil {
				t.Fatal(err)
			}
		}
		msg := espPacket(0x11223344, 300)
		if err := p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(addrB[v6], 4500)), msg); err != nil {
			t.Fatal(err)
		}
		if in := readIKE(t, p.netB, buf); in.Kind != IKE || !bytes.Equal(in.Data, msg) {
			t.Errorf("v6=%t: kind %d, %d octets", v6, in.Kind, len(in.Data))
		}
		before := p.netB.Counters()["net_kernel_drops"]
		received := uint64(0)
		lookEverywhere(p.netB.Ports()[0])
		for in := (Received{}); p.netB.Ports()[0].Recv(buf, &in) == nil; received++ {
		}
		// The kernel reports drops with the next received packet.
		if err := sendOne(p.netA.Ports()[0], &flood); err != nil {
			t.Fatal(err)
		}
		recv(t, p.netB.Ports()[0], buf)
		if dropped := p.netB.Counters()["net_kernel_drops"] - before; dropped == 0 || dropped+received != uint64(3*socketBuffer/len(flood.Data)) {
			t.Errorf("v6=%t: received %d, counted %d as dropped, of %d", v6, received, dropped, 3*socketBuffer/len(flood.Data))
		}
	}
}

// Drops of a flood of IKE are counted, and do not affect ESP.
func TestIKETakesNoRoomFromESP(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	msg := espPacket(0x11223344, 1200)
	const most = 100_000 // the reader keeps ikeBacklog messages and leaves the others in the kernel
	for range most {
		if err := p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(addrB[false], 4500)), msg); err != nil {
			t.Fatal(err)
		}
		if len(p.netB.in) == cap(p.netB.in) {
			break
		}
	}
	for range 3 * socketBuffer / len(msg) {
		if err := p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(addrB[false], 4500)), msg); err != nil {
			t.Fatal(err)
		}
	}
	out := Outgoing{Data: espPacket(1000, 1200), Path: espPath(true, netip.AddrPort{}, at(addrB[false], 4500))}
	if err := sendOne(p.netA.Ports()[0], &out); err != nil {
		t.Fatal(err)
	}
	if in := recv(t, p.netB.Ports()[0], buf); in.Kind != ESP {
		t.Errorf("kind %d, want ESP", in.Kind)
	}
	for range most + 3*socketBuffer/len(msg) {
		readIKE(t, p.netB, buf)
		if p.netB.Counters()["net_ike_kernel_drops"] > 0 {
			return
		}
		if len(p.netB.in) == 0 { // the kernel reports drops with the next received packet
			_ = p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(addrB[false], 4500)), msg)
		}
	}
	t.Error("net_ike_kernel_drops stays 0")
}

// GRO coalesces ESP, whichever socket of the port the kernel consults, and keeps IKE apart from the
// ESP before it.
func TestGRO(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	if err := p.a.NoOffloads("nn0"); err != nil { // so that b's device gets single packets
		t.Fatal(err)
	}
	if err := p.b.GRO("nn0"); err != nil {
		t.Fatal(err)
	}
	for v6 := range addrA {
		for port := uint16(20000); port < 20024; port++ { // flows whose hashes differ
			if got := runFrom(t, p, v6, port, buf); got == 0 {
				t.Errorf("v6=%t, from port %d: nothing was coalesced", v6, port)
			}
		}
	}
}

// runFrom sends a run of ESP from a port of a to b and returns the number of datagrams that arrived
// coalesced.
func runFrom(t *testing.T, p *pair, v6 bool, port uint16, buf []byte) (coalesced int) {
	t.Helper()
	const datagrams, size = 20, 1000
	var from *socket
	if err := p.a.Do(func() (err error) {
		cfg := &Config{}
		from, err = (&socket{v6: v6, bound: at(addrA[v6], port)}).open(cfg)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from.fd)
	tx := newPort(p.netA.firewall, &Config{})
	tx.socks = []*socket{from}
	if err := sendOne(tx, &Outgoing{Data: bytes.Repeat(espPacket(1000, size), datagrams), SegSize: size, Path: espPath(true, netip.AddrPort{}, at(addrB[v6], 4500))}); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < datagrams*size; {
		in := recv(t, p.netB.Ports()[0], buf)
		got += len(in.Data)
		if in.SegSize > 0 {
			coalesced += len(in.Data) / in.SegSize
		}
	}
	return coalesced
}

// IKE packets differ from ESP so that GRO does not coalesce them, and carry their mark.
func TestIKEIsMarked(t *testing.T) {
	p := newPair(t, 1)
	p.netA.Close()
	a := openIn(t, p.a, Config{IKEPort: 500, NATPort: 4500, IKETOS: 48 << 2})
	frames := make(chan []byte, 64)
	if _, err := p.b.Sniff("nn0", func(frame []byte) {
		if p, ok := netlab.ParseFrame(frame); ok && p.Protocol == unix.IPPROTO_UDP && (p.Src == addrA[false] || p.Src == addrA[true]) {
			frames <- bytes.Clone(frame[14:])
		}
	}); err != nil {
		t.Fatal(err)
	}
	next := func() []byte {
		t.Helper()
		select {
		case f := <-frames:
			return f
		case <-time.After(5 * time.Second):
			t.Fatal("no frame was seen")
			return nil
		}
	}
	for v6 := range addrA {
		local, remote := at(addrA[v6], 4500), at(addrB[v6], 4500)
		for _, natPort := range []bool{false, true} {
			if err := a.SendIKE(ikePath(natPort, local, remote), make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			ip := next()
			switch {
			case !v6 && (ip[1] != 48<<2 || ip[6]&0x40 != 0):
				t.Errorf("IPv4: TOS %#x, DF %t", ip[1], ip[6]&0x40 != 0)
			case v6 && (binary.BigEndian.Uint32(ip) != 6<<28|48<<2<<20):
				t.Errorf("IPv6: version, traffic class, flow label %#x", ip[:4])
			}
			if err := a.ProbeIKE(ikePath(natPort, local, remote), make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if ip := next(); !v6 && ip[6]&0x40 == 0 {
				t.Error("a probe has no DF")
			}
		}
		if err := sendOne(a.Ports()[0], &Outgoing{Data: espPacket(1000, 100), Path: espPath(true, local, remote)}); err != nil {
			t.Fatal(err)
		}
		switch ip := next(); {
		case !v6 && (ip[1] != 0 || ip[6]&0x40 == 0):
			t.Errorf("ESP over IPv4: TOS %#x, DF %t", ip[1], ip[6]&0x40 != 0)
		case v6 && (binary.BigEndian.Uint32(ip) == 6<<28):
			t.Errorf("ESP over IPv6 has no flow label: %#x", ip[:4])
		}
	}
	for _, c := range slices.Concat(a.conns, a.nat) {
		if got := option(t, c.UDPConn, unix.SO_PRIORITY); got != priorityInteractive {
			t.Errorf("priority %d, want %d", got, priorityInteractive)
		}
	}
}

// option reads an option of level SOL_SOCKET.
func option(t *testing.T, c syscall.Conn, opt int) (value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, opt) })
		err = errors.Join(err, cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}
