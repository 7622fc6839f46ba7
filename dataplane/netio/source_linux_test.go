package netio

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/internal/ipsec"
)

// Each of several workers sends from a port of its own, in both families, also runs; what comes is
// received as from any port. A single worker has none, and protocol 50 neither.
func TestSources(t *testing.T) {
	p := newPair(t, 2)
	buf := make([]byte, 65535)
	seen := map[[2]any]bool{{true, uint16(4500)}: true, {false, uint16(4500)}: true}
	for _, port := range p.netA.Ports() {
		for v6 := range addrA {
			for _, local := range []netip.Addr{addrA2[v6], {}} {
				path, ok := port.(Sourcer).Source(ipsec.NATPath(at(local, 4500), at(addrB[v6], 4500)))
				from := path.Local().Port()
				if !ok || path.Local().Addr() != local || path.Remote() != at(addrB[v6], 4500) || local.IsValid() && seen[[2]any{v6, from}] {
					t.Fatalf("v6=%t, local %v: the source is %v, %t", v6, local, path, ok)
				}
				seen[[2]any{v6, from}] = true
				outs, _ := laidOut(v6, true, 4500, times(8, 1000)...)
				for i := range outs {
					outs[i].Path = path
				}
				port.Send(outs)
				to := p.netB.Ports()[p.receiver(1, v6, true)]
				for came := 0; came < len(outs); {
					in := recv(t, to, buf)
					came += (&Outgoing{Data: in.Data, SegSize: in.SegSize}).Datagrams()
					if got := in.Path.Remote(); got.Port() != from || local.IsValid() && got.Addr() != local {
						t.Errorf("v6=%t, local %v: it came from %v, want port %d", v6, local, got, from)
					}
				}
			}
		}
	}
	raw := ipsec.RawPath(addrA[false], addrB[false])
	if path, ok := p.netA.Ports()[0].(Sourcer).Source(raw); ok || path != raw {
		t.Errorf("of protocol 50: %v", path)
	}
	alone := openIn(t, p.a, Config{IKEPort: 501, NATPort: 4501, Workers: 1})
	if path, ok := alone.Ports()[0].(Sourcer).Source(ipsec.NATPath(at(addrA[false], 4501), at(addrB[false], 4500))); ok {
		t.Errorf("a single worker: %v", path)
	}
}

// What is from another worker's port leaves from the NAT port, and so does what may be fragmented.
func TestSourceOfAnother(t *testing.T) {
	p := newPair(t, 2)
	buf := make([]byte, 65535)
	path, _ := p.netA.Ports()[0].(Sourcer).Source(ipsec.NATPath(at(addrA[false], 4500), at(addrB[false], 4500)))
	for i, out := range []Outgoing{{Path: path}, {Path: path, Fragment: true}} {
		out.Data = espPacket(1, 100)
		if err := sendOne(p.netA.Ports()[1-i], &out); err != nil {
			t.Fatal(err)
		}
		if in := recv(t, p.netB.Ports()[p.receiver(1, false, true)], buf); in.Path.Remote().Port() != 4500 {
			t.Errorf("case %d: it came from %v", i, in.Path.Remote())
		}
	}
}

// Nothing is received at a source port, and no other socket gets it.
func TestSourcesAreDeaf(t *testing.T) {
	p := newPair(t, 2)
	for _, port := range p.netB.ports {
		for _, s := range port.sources {
			out := Outgoing{Data: espPacket(1, 100), Path: ipsec.NATPath(at(addrA[s.v6], 4500), at(addrB[s.v6], s.bound.Port()))}
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			out.Path = ipsec.NATPath(at(addrA[s.v6], 4500), at(addrB[s.v6], 4500)) // comes later
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			recv(t, p.netB.Ports()[p.receiver(1, s.v6, true)], make([]byte, 65535))
			if n, err := unix.Read(s.fd, make([]byte, 100)); err != unix.EAGAIN {
				t.Errorf("%d octets at a source port: %v", n, err)
			}
			if shared, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT); err != nil || shared != 0 {
				t.Errorf("others may have the source port: %d, %v", shared, err)
			}
		}
	}
}

// An error that quotes a packet from a source port is about a path's MTU, and about nothing else.
func TestSourceIsQuoted(t *testing.T) {
	p := newPair(t, 2)
	for _, v6 := range []bool{false, true} {
		path, _ := p.netA.Ports()[0].(Sourcer).Source(ipsec.NATPath(at(addrA[v6], 4500), at(addrB[v6], 9999))) // no socket is there
		for _, from := range []ipsec.Path{path, ipsec.NATPath(at(addrA[v6], 4500), at(addrB[v6], 9998))} {
			out := Outgoing{Data: espPacket(7, 100), Path: from}
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
		}
		if u := <-p.netA.Unreachable(); u.Path.Remote().Port() != 9998 {
			t.Errorf("v6=%t: the first that is told is about %v", v6, u.Path)
		}
	}
	for _, v6 := range []bool{false, true} {
		b := quote(v6, 1300, 17, []byte{0x9c, 0xbb, 0x11, 0x94, 0, 100, 0, 0, 0xc0, 0xff, 0xee, 1}) // 40123 -> 4500
		if _, ok := parseTooBig(b, v6, 4500); ok {
			t.Errorf("v6=%t: a port that is not ours is taken", v6)
		}
		if e, ok := parseTooBig(b, v6, 4500, 40123); !ok || e.Path.Local().Port() != 40123 || e.SPI != 0xc0ffee01 {
			t.Errorf("v6=%t: %+v, %t", v6, e, ok)
		}
	}
}

// A remote that fills a source port's buffer is moved to a socket at the same port, which receives
// nothing either, and whose port nobody else gets; all are closed in the end.
func TestSourcesHaveSidings(t *testing.T) {
	p := newPair(t, 2)
	buf := make([]byte, 65535)
	for _, s := range p.netA.ports[1].sources {
		if len(s.side.socks) != maxSidings {
			t.Fatalf("%d sidings", len(s.side.socks))
		}
		path, _ := p.netA.Ports()[1].(Sourcer).Source(ipsec.NATPath(at(addrA[s.v6], 4500), at(addrB[s.v6], 4500)))
		s.side.move(path.Remote().Addr())
		out := Outgoing{Data: espPacket(1, 100), Path: path}
		if s.way(&out) == s {
			t.Fatal("it is not moved")
		}
		if err := sendOne(p.netA.Ports()[1], &out); err != nil {
			t.Fatal(err)
		}
		if in := recv(t, p.netB.Ports()[p.receiver(1, s.v6, true)], buf); in.Path.Remote().Port() != s.bound.Port() {
			t.Errorf("v6=%t: it came from %v, want port %d", s.v6, in.Path.Remote(), s.bound.Port())
		}
		back := Outgoing{Data: espPacket(1, 100), Path: ipsec.NATPath(at(addrB[s.v6], 4500), at(addrA[s.v6], s.bound.Port()))}
		if err := sendOne(p.netB.Ports()[0], &back); err != nil {
			t.Fatal(err)
		}
		back.Path = ipsec.NATPath(at(addrB[s.v6], 4500), at(addrA[s.v6], 4500)) // comes later
		if err := sendOne(p.netB.Ports()[0], &back); err != nil {
			t.Fatal(err)
		}
		recv(t, p.netA.Ports()[p.receiver(1, s.v6, true)], buf)
		for _, d := range append(s.side.socks, s) {
			if n, err := unix.Read(d.fd, buf); err != unix.EAGAIN {
				t.Errorf("v6=%t: %d octets at a source port: %v", s.v6, n, err)
			}
		}
		if err := p.a.Do(func() error { return bindShared(s.bound) }); err != unix.EADDRINUSE {
			t.Errorf("v6=%t: others may have the source port: %v", s.v6, err)
		}
	}
	sources := p.netA.ports[1].sources
	if err := p.netA.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range sources {
		for _, d := range append(s.side.socks, s) {
			if d.fd >= 0 {
				t.Errorf("descriptor %d is left open", d.fd)
			}
		}
	}
}

// bindShared binds a socket to a port that it would share.
func bindShared(a netip.AddrPort) error {
	domain := unix.AF_INET
	if a.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := sharePort(fd, true); err != nil {
		return err
	}
	return unix.Bind(fd, sockaddr(a))
}
