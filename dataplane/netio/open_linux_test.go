package netio

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

func TestOpenErrorsNameTheRemedy(t *testing.T) {
	p := newPair(t, 2)
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"IKE port in use", Config{IKEPort: 500, NATPort: 4501}, []string{"UDP port 500", "in use", "ike_port", "strongSwan"}},
		// SO_REUSEPORT must not let a second daemon in.
		{"NAT port in use", Config{IKEPort: 501, NATPort: 4500}, []string{"UDP port 4500", "in use", "nat_port"}},
		{"not our address", Config{IKEPort: 501, NATPort: 4501, Listen: []netip.Addr{netip.MustParseAddr("192.0.2.99")}}, []string{"192.0.2.99", "not an address of this host"}},
		{"not our IPv6 address", Config{IKEPort: 501, NATPort: 4501, Listen: []netip.Addr{netip.MustParseAddr("2001:db8::99")}}, []string{"2001:db8::99", "not an address of this host"}},
		{"equal ports", Config{IKEPort: 600, NATPort: 600}, []string{"must differ"}},
	} {
		n, err := tryOpen(p.a, c.cfg)
		if err == nil {
			n.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
	}
	// The failed attempts leave nothing behind, and the same works on free ports.
	n, err := tryOpen(p.a, Config{IKEPort: 501, NATPort: 4501, Workers: 2, RawESP: true})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	p.netA.Close()
	if n, err = tryOpen(p.a, Config{IKEPort: 500, NATPort: 4500}); err != nil {
		t.Fatalf("the ports are still taken after Close: %v", err)
	}
	n.Close()
}

func TestListenOnOneAddress(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	p.netB.Close()
	b := openIn(t, p.b, Config{Listen: []netip.Addr{addrB2[false], addrB2[true]}, IKEPort: 500, NATPort: 4500, RawESP: true})
	for v6 := range addrB {
		for _, to := range []netip.Addr{addrB[v6], addrB2[v6]} {
			if err := p.netA.SendIKE(ikePath(true, netip.AddrPort{}, at(to, 4500)), espPacket(0x11223344, 99)); err != nil {
				t.Fatal(err)
			}
		}
		if in := readIKE(t, b, buf); in.Path.Local() != at(addrB2[v6], 4500) || in.Path.Via() != ipsec.NAT || len(in.Data) != 99 {
			t.Errorf("IKE: got %+v", in)
		}
	}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		data := espPacket(0xc0ffee01, 99)
		for _, to := range []netip.Addr{addrB[v6], addrB2[v6]} {
			if err := sendOne(p.netA.Ports()[0], &Outgoing{Data: data, Path: espPath(encap, netip.AddrPort{}, at(to, port))}); err != nil {
				t.Fatal(err)
			}
		}
		if in := recv(t, b.Ports()[0], buf); in.Path.Local() != at(addrB2[v6], port) || !bytes.Equal(in.Data, data) {
			t.Errorf("got %+v", in)
		}
		mustBeDry(t, b.Ports()[0], buf)
		if err := sendOne(b.Ports()[0], &Outgoing{Data: data, Path: espPath(encap, netip.AddrPort{}, at(addrA[v6], port))}); err != nil {
			t.Fatal(err)
		}
		if in := recv(t, p.netA.Ports()[0], buf); in.Path.Remote().Addr() != addrB2[v6] {
			t.Errorf("sent from %s, want the address listened on", in.Path.Remote())
		}
	})
}

// A host without IPv6 runs on IPv4 without configuration.
func TestWithoutIPv6(t *testing.T) {
	lab := netlab.Need(t)
	h := newHost(t, lab, "nn-c")
	for _, s := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		if err := h.Sysctl(s, "1"); err != nil {
			t.Skip(err)
		}
	}
	openIn(t, h, Config{IKEPort: 500, NATPort: 4500, RawESP: true})
}

func TestAbsentFamily(t *testing.T) {
	any6, one6 := netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::1")
	if !absent(any6, unix.EAFNOSUPPORT) || absent(one6, unix.EAFNOSUPPORT) || absent(any6, unix.EADDRINUSE) {
		t.Error("only an unspecified address of a family that the host lacks may be left out")
	}
	var log bytes.Buffer
	logAbsent(slog.New(slog.NewTextHandler(&log, nil)), "UDP", any6, unix.EAFNOSUPPORT)
	if !strings.Contains(log.String(), "which is left out") {
		t.Errorf("logged %q", log.String())
	}
	if err := bindError("the IKE port", at(one6, 500), "ike_port", unix.EACCES); !strings.Contains(err.Error(), "run as root") {
		t.Error(err)
	}
}
