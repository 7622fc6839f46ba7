package netio

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestControlMessages: what put writes, parse reads: several messages together, each in its place;
// unknown ones are passed over, and one cut short ends the reading.
func TestControlMessages(t *testing.T) {
	var m message
	n := 0
	info4 := m.put(&n, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	copy(info4[8:], []byte{192, 0, 2, 1})
	m.put(&n, unix.SOL_IP, unix.IP_TTL, 4)[0] = 64
	m.put(&n, unix.SOL_IP, unix.IP_TOS, 1)[0] = 0xb8
	binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_UDP, unix.UDP_GRO, 4), 1400)
	binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 4), 7)
	var r received
	r.parse(m.ctl[:n])
	want := received{local: netip.MustParseAddr("192.0.2.1"), tos: 0xb8, segSize: 1400, drops: 7}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	for cut := range n - 4 { // the last message is padded by 4
		part := received{segSize: -1}
		part.parse(m.ctl[:cut])
		if part.drops != 0 || part.segSize != -1 && part.segSize != 1400 || part.tos&^0xb8 != 0 {
			t.Errorf("of the first %d octets: %+v", cut, part)
		}
	}
	n = 0
	info6 := m.put(&n, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	local := netip.MustParseAddr("2001:db8::1").As16()
	copy(info6, local[:])
	binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_IPV6, unix.IPV6_TCLASS, 4), 0x2e)
	binary.NativeEndian.PutUint16(m.put(&n, unix.SOL_UDP, unix.UDP_GRO, 2), 1300) // an early kernel's
	r = received{}
	r.parse(m.ctl[:n])
	if want := (received{local: netip.MustParseAddr("2001:db8::1"), tos: 0x2e, segSize: 1300}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

// TestControlMessageLengths: a message whose length is less than its header, or more than there is,
// ends the reading.
func TestControlMessageLengths(t *testing.T) {
	for _, length := range []int{0, unix.SizeofCmsghdr - 1, unix.CmsgSpace(4) + 1, 1 << 30} {
		var m message
		n := 0
		binary.NativeEndian.PutUint32(m.put(&n, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 4), 7)
		binary.NativeEndian.PutUint64(m.ctl[:], uint64(length))
		var r received
		if r.parse(m.ctl[:n]); r != (received{}) {
			t.Errorf("length %d: %+v", length, r)
		}
	}
}

// TestMessageAddress: an address that is set is read as the sender's again, of either family and
// with a zone.
func TestMessageAddress(t *testing.T) {
	for _, s := range []string{"192.0.2.1:500", "[2001:db8::1]:4500", "[fe80::1%7]:65535"} {
		var m message
		want := netip.MustParseAddrPort(s)
		v6 := want.Addr().Is6()
		m.setName(v6, want)
		if got := m.remote(v6); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if family := m.name.Family; v6 != (family == unix.AF_INET6) || v6 != (m.hdr.Namelen == unix.SizeofSockaddrInet6) {
			t.Errorf("%v: family %d, %d octets", want, family, m.hdr.Namelen)
		}
	}
}

// TestPrepareSend: what is told to the kernel with a datagram: its source, unless any will do, its
// TOS, and the size of segments if there are some.
func TestPrepareSend(t *testing.T) {
	for _, tt := range []struct {
		local, remote string
		segSize       int
		want          []int32 // the types of the control messages
	}{
		{"192.0.2.1:4500", "192.0.2.2:4500", 1400, []int32{unix.IP_PKTINFO, unix.IP_TOS, unix.UDP_SEGMENT}},
		{"192.0.2.1:4500", "192.0.2.2:4500", 0, []int32{unix.IP_PKTINFO, unix.IP_TOS}},
		{"0.0.0.0:4500", "192.0.2.2:4500", 0, []int32{unix.IP_TOS}},
		{"[2001:db8::1]:4500", "192.0.2.2:4500", 0, []int32{unix.IP_TOS}},
		{"[2001:db8::1]:4500", "[2001:db8::2]:4500", 1, []int32{unix.IPV6_PKTINFO, unix.IPV6_TCLASS, unix.UDP_SEGMENT}},
		{"[::]:4500", "[2001:db8::2]:4500", 0, []int32{unix.IPV6_TCLASS}},
	} {
		var m message
		remote := netip.MustParseAddrPort(tt.remote)
		out := &Outgoing{Path: espPath(true, netip.MustParseAddrPort(tt.local), remote), TOS: 0xb8}
		m.prepareSend(&socket{v6: remote.Addr().Is6()}, out, tt.segSize)
		list, err := unix.ParseSocketControlMessage(m.ctl[:m.hdr.Controllen])
		if err != nil {
			t.Errorf("%s to %s: %v", tt.local, tt.remote, err)
		}
		var got []int32
		for _, c := range list {
			got = append(got, c.Header.Type)
			if (c.Header.Type == unix.IP_TOS || c.Header.Type == unix.IPV6_TCLASS) && binary.NativeEndian.Uint32(c.Data) != 0xb8 {
				t.Errorf("%s to %s: TOS %x", tt.local, tt.remote, c.Data)
			}
		}
		if !slices.Equal(got, tt.want) || m.remote(remote.Addr().Is6()) != remote {
			t.Errorf("%s to %s: messages %v to %v, want %v", tt.local, tt.remote, got, m.remote(remote.Addr().Is6()), tt.want)
		}
	}
}
