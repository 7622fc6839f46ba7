package tun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// addressBody returns the body of an address message, with 8 bits of flags.
func addressBody(flags byte, bits byte, attributes ...[]byte) []byte {
	b := []byte{unix.AF_INET, bits, flags, 0}
	b = binary.NativeEndian.AppendUint32(b, 3)
	for _, a := range attributes {
		b = append(b, a...)
	}
	return b
}

func TestParseAddr(t *testing.T) {
	ip := func(kind uint16, a string) []byte { return attributeAddr(nil, kind, netip.MustParseAddr(a)) }
	flags := func(n uint32) []byte { return attribute32(nil, unix.IFA_FLAGS, n) }
	for _, tt := range []struct {
		name       string
		body       []byte
		addr       string
		usable, ok bool
	}{
		{"IPv4", addressBody(0, 24, ip(unix.IFA_ADDRESS, "10.1.0.1")), "10.1.0.1", true, true},
		{"of two, ours", addressBody(0, 32, ip(unix.IFA_ADDRESS, "192.0.2.9"), ip(unix.IFA_LOCAL, "192.0.2.1")), "192.0.2.1", true, true},
		{"of two, ours first", addressBody(0, 32, ip(unix.IFA_LOCAL, "192.0.2.1"), ip(unix.IFA_ADDRESS, "192.0.2.9")), "192.0.2.1", true, true},
		{"link-local", addressBody(0, 64, ip(unix.IFA_ADDRESS, "fe80::1")), "fe80::1", false, true},
		{"loopback", addressBody(0, 8, ip(unix.IFA_ADDRESS, "127.0.0.1")), "127.0.0.1", false, true},
		{"tentative", addressBody(unix.IFA_F_TENTATIVE, 64, ip(unix.IFA_ADDRESS, "2001:db8::1")), "2001:db8::1", false, true},
		{"deprecated", addressBody(0, 64, flags(unix.IFA_F_DEPRECATED), ip(unix.IFA_ADDRESS, "2001:db8::1")), "2001:db8::1", false, true},
		{"duplicate", addressBody(0, 64, ip(unix.IFA_ADDRESS, "2001:db8::1"), flags(unix.IFA_F_DADFAILED)), "2001:db8::1", false, true},
		{"the long flags count", addressBody(unix.IFA_F_TENTATIVE, 64, flags(unix.IFA_F_PERMANENT), ip(unix.IFA_ADDRESS, "2001:db8::1")), "2001:db8::1", true, true},
		{"no address", addressBody(0, 24), "", false, false},
		{"cut", addressBody(0, 24)[:7], "", false, false},
	} {
		a, usable, ok := parseAddr(tt.body)
		if ok != tt.ok || usable != tt.usable || ok && (a.addr.String() != tt.addr || a.link != 3 || a.bits != int(tt.body[1])) {
			t.Errorf("%s: got %+v, %v, %v", tt.name, a, usable, ok)
		}
	}
}

func TestParseLink(t *testing.T) {
	body := func(flags uint32) []byte {
		b := make([]byte, unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(b[4:], 9)
		binary.NativeEndian.PutUint32(b[8:], flags)
		return b
	}
	for flags, up := range map[uint32]bool{unix.IFF_UP: true, unix.IFF_UP | unix.IFF_RUNNING: true, unix.IFF_RUNNING | unix.IFF_LOWER_UP: false, 0: false} {
		if l, ok := parseLink(body(flags)); !ok || l != (linkState{index: 9, up: up, flags: flags}) {
			t.Errorf("flags %#x: got %+v, %v", flags, l, ok)
		}
	}
	if l, ok := parseLink(body(unix.IFF_UP)[:unix.SizeofIfInfomsg-1]); ok {
		t.Errorf("a cut message is %+v", l)
	}
}
