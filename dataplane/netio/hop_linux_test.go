package netio

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeyOf: a path has a key if the kernel needs to know no more than it, and the ECN field is not
// a part of it.
func TestKeyOf(t *testing.T) {
	a4, b4, a6, b6 := addrA[false], addrB[false], addrA[true], addrB[true]
	for _, tt := range []struct {
		local, remote netip.Addr
		tos, dscp     uint8
		ok            bool
	}{
		{a4, b4, 0xbb, 0xb8, true},
		{a6, b6, 3, 0, true},
		{netip.Addr{}, b4, 0, 0, false},
		{netip.IPv4Unspecified(), b4, 0, 0, false},
		{a6, b4, 0, 0, false},
		{a4, b6, 0, 0, false},
		{a4, netip.Addr{}, 0, 0, false},
		{a4, netip.MustParseAddr("224.0.0.1"), 0, 0, false},
		{a4, netip.MustParseAddr("255.255.255.255"), 0, 0, false},
		{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2%3"), 0, 0, false},
	} {
		k, ok := keyOf(tt.local, tt.remote, tt.tos)
		if ok != tt.ok || ok && k != (hopKey{tt.local, tt.remote, tt.dscp}) {
			t.Errorf("%v to %v: %v, %v", tt.local, tt.remote, k, ok)
		}
	}
}

// TestHeadersOfAHop: Ethernet and IP header, whose checksum is right for any TOS and size; what the
// kernel makes of the same datagrams is in TestDirectIsAsTheKernelSends.
func TestHeadersOfAHop(t *testing.T) {
	f := first{link: 7, from: [6]byte{2, 0, 0, 0, 0, 1}, to: [6]byte{2, 0, 0, 0, 0, 2}, mtu: 1500, hops: 63}
	var b [headLen]byte
	h := newHop(hopKey{addrA[false], addrB[false], 0}, f)
	for size := 8; size <= 1480; size++ {
		tos := []uint8{0, 1, 0xb8, 0xff}[size%4]
		head := h.put(&b, tos, size)
		if len(head) != 34 || head[15] != tos || int(binary.BigEndian.Uint16(head[16:])) != 20+size || !sumsUp(head) {
			t.Fatalf("TOS %#x, %d octets: %x", tos, size, head)
		}
	}
	for last := range 1 << 16 { // all values of the sum, also those that carry twice
		to := netip.AddrFrom4([4]byte{0xff, 0xff, byte(last >> 8), byte(last)})
		if head := newHop(hopKey{addrA[false], to, 0}, f).put(&b, 0, 100); !sumsUp(head) {
			t.Fatalf("to %s: %x", to, head)
		}
	}
	if !h.fits(1480) || h.fits(1481) {
		t.Error("not what fits in 1500 octets with 20 of IPv4")
	}
	h = newHop(hopKey{addrA[true], addrB[true], 0}, f)
	head := h.put(&b, 0xb9, 1000)
	if len(head) != 54 || binary.BigEndian.Uint32(head[14:]) != 0x6b900000 || binary.BigEndian.Uint16(head[18:]) != 1000 || head[21] != 63 {
		t.Errorf("IPv6: %x", head)
	}
	if !h.fits(1460) || h.fits(1461) {
		t.Error("not what fits in 1500 octets with 40 of IPv6")
	}
	if h.name.Ifindex != 7 || h.name.Protocol != networkOrder(unix.ETH_P_IPV6) {
		t.Errorf("the name is %+v", h.name)
	}
}

// sumsUp reports whether the checksum of an IPv4 header behind an Ethernet header is right.
func sumsUp(head []byte) bool {
	sum := uint32(0)
	for i := etherLen; i < len(head); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(head[i:]))
	}
	return sum>>16+sum&0xffff == 0xffff
}

// TestVisits: one packet in visitEvery goes through the IP stack, and the first one.
func TestVisits(t *testing.T) {
	var e entry
	visits := 0
	for now := time.Duration(0); now < 10*visitEvery; now += visitEvery / 100 {
		for range 3 { // workers
			if e.visits(int64(now)) {
				visits++
			}
		}
	}
	if visits != 10 {
		t.Errorf("%d in 10 periods", visits)
	}
	e.hop.Store(&hop{})
	if e.drop(); e.hop.Load() != nil || !e.stale {
		t.Error("a dropped entry is not asked again")
	}
}
