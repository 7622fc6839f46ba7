package tun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What is written is what is read, in each field.
func TestRouteThereAndBack(t *testing.T) {
	for _, k := range []kernelRoute{
		{table: 7, dst: netip.MustParsePrefix("0.0.0.0/0"), kind: unix.RTN_THROW, protocol: routeProtocol},
		{table: 100_000, dst: netip.MustParsePrefix("10.2.0.0/16"), metric: 9, kind: unix.RTN_UNICAST, oif: 3, src: netip.MustParseAddr("10.1.0.1")},
		{table: 254, dst: netip.MustParsePrefix("192.0.2.7/32"), kind: unix.RTN_UNICAST, oif: 3, via: netip.MustParseAddr("192.0.2.1")},
		{table: 7, dst: netip.MustParsePrefix("::/0"), kind: unix.RTN_UNREACHABLE, metric: 1 << 31},
		{table: 7, dst: netip.MustParsePrefix("2001:db8::/32"), kind: unix.RTN_UNICAST, oif: 3, via: netip.MustParseAddr("fe80::1"), src: netip.MustParseAddr("2001:db8::1")},
	} {
		for _, kind := range []uint16{unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
			if got, ok := parseRoute(k.append(nil, kind, 0)[unix.SizeofNlMsghdr:]); !ok || got != k {
				t.Errorf("got %+v, %v; want %+v", got, ok, k)
			}
		}
	}
}

// The kernel's cache and other families are not routes of ours, and a destination whose length does
// not fit its address is none.
func TestRoutesThatAreNone(t *testing.T) {
	k := kernelRoute{table: 7, dst: netip.MustParsePrefix("10.2.0.0/16"), kind: unix.RTN_UNICAST}
	for name, change := range map[string]func(b []byte){
		"cached":         func(b []byte) { binary.NativeEndian.PutUint32(b[8:], unix.RTM_F_CLONED) },
		"another family": func(b []byte) { b[0] = unix.AF_MPLS },
		"33 bits":        func(b []byte) { b[1] = 33 },
	} {
		b := k.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]
		if _, ok := parseRoute(b); !ok {
			t.Fatal("the route itself is none")
		}
		if change(b); true {
			if got, ok := parseRoute(b); ok {
				t.Errorf("%s: got %+v", name, got)
			}
		}
	}
}
