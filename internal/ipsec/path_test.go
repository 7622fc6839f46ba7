package ipsec

import (
	"net/netip"
	"reflect"
	"testing"
)

var (
	ours, theirs   = netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:501")
	ours6, theirs6 = netip.MustParseAddrPort("[2001:db8::1]:500"), netip.MustParseAddrPort("[2001:db8::2]:501")
	other          = netip.MustParseAddrPort("198.51.100.7:1024")
)

// mapped returns an IPv4 address as an IPv6 socket reports it.
func mapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

// A wire is a transport with connections.
var wire = &Transport{Name: "wire", Headers: 3, CarriesESP: true, Stream: true}

func TestPathsAreComparable(t *testing.T) {
	p := NewPath(wire, ours, theirs, 7)
	if p != NewPath(wire, mapped(ours), mapped(theirs), 7) || p.Local() != ours || p.Remote() != theirs || p.Conn() != 7 || p.Via() != wire {
		t.Errorf("the path is %v", p)
	}
	for _, q := range []Path{
		{}, NewPath(wire, ours, theirs, 8), NewPath(wire, other, theirs, 7), NewPath(wire, ours, other, 7), NewPath(NAT, ours, theirs, 7),
		NewPath(wire, netip.AddrPortFrom(ours.Addr(), 1), theirs, 7), NewPath(wire, ours, netip.AddrPortFrom(theirs.Addr(), 1), 7),
	} {
		if p == q {
			t.Errorf("%v is taken for %v", p, q)
		}
	}
	if RawPath(mapped(ours).Addr(), mapped(theirs).Addr()) != NewPath(Raw, netip.AddrPortFrom(ours.Addr(), 0), netip.AddrPortFrom(theirs.Addr(), 0), 0) {
		t.Error("a path of protocol 50 has ports, or a mapped address")
	}
	if size := reflect.TypeFor[Path]().Size(); size > 64 {
		t.Errorf("a path has %d octets; more than a cache line slows the packet path", size)
	}
}

func TestPathIsValid(t *testing.T) {
	for p, want := range map[Path]bool{
		{}:                              false,
		NATPath(ours, netip.AddrPort{}): false,
		NATPath(netip.AddrPort{}, ours): true,
		NewPath(nil, ours, theirs, 0):   false,
	} {
		if p.IsValid() != want {
			t.Errorf("%v: valid %v", p, p.IsValid())
		}
	}
}

func TestHeaders(t *testing.T) {
	for p, want := range map[Path]int{
		UDPPath(ours, theirs): 28, UDPPath(ours6, theirs6): 48, NATPath(ours, theirs): 32, NATPath(ours6, theirs6): 52, NewPath(wire, ours, theirs, 1): 23,
	} {
		if p.Headers() != want || p.Is6() != (p.Remote() == theirs6) {
			t.Errorf("%v: %d octets, IPv6 %v", p, p.Headers(), p.Is6())
		}
	}
}

// A NAT that is found between the IKE ports moves IKE and ESP to the NAT ports, and what is already
// beyond it stays.
func TestToNATPort(t *testing.T) {
	at := func(a netip.AddrPort, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), port) }
	if got := UDPPath(ours, theirs).ToNATPort(4500, 4501); got != NATPath(at(ours, 4500), at(theirs, 4501)) {
		t.Errorf("IKE continues on %v", got)
	}
	for _, p := range []Path{NATPath(ours, theirs), NewPath(wire, ours, theirs, 7)} {
		if got := p.ToNATPort(4500, 4501); got != p {
			t.Errorf("%v continues on %v", p, got)
		}
	}
}

// IKE continues at the other port, and back.
func TestToIKEPort(t *testing.T) {
	at := func(a netip.AddrPort, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), port) }
	for _, p := range []Path{NATPath(ours, theirs), NATPath(ours6, theirs6)} {
		want := UDPPath(at(p.Local(), 1500), at(p.Remote(), 1501))
		if got := p.ToIKEPort(1500, 1501); got != want || got.ToNATPort(p.Local().Port(), p.Remote().Port()) != p {
			t.Errorf("IKE continues on %v", got)
		}
	}
	for _, p := range []Path{UDPPath(ours, theirs), RawPath(ours.Addr(), theirs.Addr()), NewPath(wire, ours, theirs, 7)} {
		if got := p.ToIKEPort(500, 501); got != p {
			t.Errorf("%v continues on %v", p, got)
		}
	}
}

func TestPathOfESP(t *testing.T) {
	raw, stream := RawPath(ours.Addr(), theirs.Addr()), NewPath(wire, ours, theirs, 7)
	for _, tt := range []struct {
		ike   Path
		encap bool
		want  Path
	}{
		{UDPPath(ours, theirs), false, raw},
		{UDPPath(ours, theirs), true, NATPath(netip.AddrPortFrom(ours.Addr(), 4500), theirs)},
		{NATPath(ours, theirs), false, raw},
		{NATPath(ours, theirs), true, NATPath(ours, theirs)},
		{stream, false, stream},
		{stream, true, stream},
	} {
		if got := tt.ike.ESP(tt.encap, 4500); got != tt.want {
			t.Errorf("%v, encap %v: ESP takes %v, want %v", tt.ike, tt.encap, got, tt.want)
		}
	}
	for p, want := range map[Path]bool{{}: false, raw: false, stream: true, NATPath(ours, theirs): true} {
		if p.Encapsulated() != want {
			t.Errorf("%v: encapsulated %v", p, p.Encapsulated())
		}
	}
}

func TestWithLocal(t *testing.T) {
	for p, want := range map[Path]Path{
		UDPPath(ours, theirs):          UDPPath(netip.AddrPortFrom(other.Addr(), ours.Port()), theirs),
		NewPath(wire, ours, theirs, 0): NewPath(wire, netip.AddrPortFrom(other.Addr(), ours.Port()), theirs, 0),
		NewPath(wire, ours, theirs, 7): NewPath(wire, ours, theirs, 7),
	} {
		if got := p.WithLocal(mapped(other).Addr()); got != want {
			t.Errorf("%v from another address: got %v, want %v", p, got, want)
		}
	}
}

func TestWithRemoteOf(t *testing.T) {
	stream, another := NewPath(wire, ours, theirs, 7), NewPath(wire, ours, other, 9)
	for _, tt := range []struct{ p, q, want Path }{
		{UDPPath(ours, theirs), NATPath(theirs, other), UDPPath(ours, other)},
		{stream, another, another},
		{NATPath(ours, theirs), stream, stream},
		{stream, NATPath(ours, theirs), NATPath(ours, theirs)},
	} {
		if got := tt.p.WithRemoteOf(tt.q); got != tt.want {
			t.Errorf("%v to where %v leads: got %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
	for q, want := range map[Path]bool{
		NewPath(NAT, other, theirs, 7): true, NewPath(wire, ours, theirs, 8): false,
		NewPath(wire, ours, other, 7): false, NewPath(wire, ours, netip.AddrPortFrom(theirs.Addr(), 1), 7): false,
	} {
		if stream.SameRemote(q) != want {
			t.Errorf("%v and %v lead to the same: %v", stream, q, !want)
		}
	}
}

func TestPathString(t *testing.T) {
	for p, want := range map[Path]string{
		{}:                            "no path",
		UDPPath(ours, theirs):         "192.0.2.1:500 to 192.0.2.2:501 by udp",
		NewPath(wire, ours, other, 7): "192.0.2.1:500 to 198.51.100.7:1024 by wire 7",
	} {
		if p.String() != want {
			t.Errorf("got %q, want %q", p, want)
		}
	}
}
