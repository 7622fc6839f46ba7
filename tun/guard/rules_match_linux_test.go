package guard

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"culvert/tun/protect"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// cutUDP returns a UDP datagram as two IP fragments, the first with 16 octets of it.
func cutUDP(src, dst string, id uint32) (first, later []byte) {
	whole := udpHeader(1, 7, append(make([]byte, 8), payload(id)...))
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	part := func(data []byte, offset byte, more byte) []byte {
		if a.Is4() {
			p := ip(a, b, unix.IPPROTO_UDP, 64, data)
			p[4], p[5], p[6], p[7] = 7, byte(id), more<<5, offset/8
			return p
		}
		return ip(a, b, unix.IPPROTO_FRAGMENT, 64, append([]byte{unix.IPPROTO_UDP, 0, 0, offset | more, 0, 0, 7, byte(id)}, data...))
	}
	return part(whole[:16], 0, 1), part(whole[16:], 16, 0)
}

// Connection tracking reassembles fragments. A fragment that arrived in the clear does not become a
// part of a packet that came by the device.
func TestFragmentsInPlain(t *testing.T) {
	s := newSite(t)
	nft(t, s.gw, "add table inet t; add chain inet t pre { type filter hook prerouting priority 0; }; add rule inet t pre ct state invalid drop")
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats().In
	arrived := sniff(t, s.inside, "lan")
	for i, a := range [][2]string{{"10.2.0.1", "10.1.0.5"}, {"fd02::1", "fd01::5"}} {
		id := uint32(1 + 3*i)
		first1, later1 := cutUDP(a[0], a[1], id)
		first2, later2 := cutUDP(a[0], a[1], id+1)
		whole1, whole2 := cutUDP(a[0], a[1], id+2)
		send(t, s.outside, first1, later2, udp("10.3.0.1", "10.1.0.5", 1, 7, 100+id))
		arrived.await(t, 100+id)
		send(t, s.tunnel, later1, first2, whole1, whole2)
		arrived.await(t, id+2)
		wantIn(t, s, g, before+2*uint64(i+1))
		for n := id; n < id+2; n++ {
			if arrived.has(n) {
				t.Errorf("packet %d is in part from outside, and was believed", n)
			}
		}
	}
}

// ICMP errors with a decrypted packet do not leave in the clear (P7, P8).
func TestQuotedPackets(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	before := g.Stats()
	decrypted4, decrypted6 := udp("10.2.0.1", "10.1.0.5", 1, 7, 1), udp("fd02::1", "fd01::5", 1, 7, 1)
	sent4, sent6 := udp("10.1.0.5", "10.2.0.1", 1, 7, 2), udp("fd01::5", "fd02::1", 1, 7, 2)
	options := icmpQuoting("10.7.0.1", "10.2.0.1", 3, decrypted4)
	options = append([]byte{0x46, 0, 0, byte(len(options) + 4)}, append(options[4:20:20], append([]byte{1, 1, 1, 1}, options[20:]...)...)...)
	var bad [][]byte
	for _, typ := range errorTypes4 {
		bad = append(bad, icmpQuoting("10.7.0.1", "10.2.0.1", typ, decrypted4))
	}
	for _, typ := range errorTypes6 {
		bad = append(bad, icmpQuoting("2001:db8::1", "fd02::1", typ, decrypted6))
	}
	bad = append(bad, options, redirectQuoting("2001:db8::1", "fd02::1", "fd01::5", decrypted6))
	send(t, s.gw, bad...)
	wantStats(t, g, before, 0, 0, uint64(len(bad)))
	// Errors about packets of a local host go back to it; those about other flows go anywhere.
	arrived := sniff(t, s.inside, "lan")
	send(t, s.gw, icmpQuoting("10.1.0.254", "10.1.0.5", 3, sent4), icmpQuoting("fd01::254", "fd01::5", 1, sent6))
	arrived.await(t, 2)
	send(t, s.gw, icmpQuoting("192.0.2.1", "192.0.2.2", 3, udp("192.0.2.2", "192.0.2.1", 1, 7, 3)))
	s.seen.await(t, 3)
	if s.seen.has(1) {
		t.Error("a decrypted packet left in plain, quoted")
	}
	wantStats(t, g, before, 0, 0, uint64(len(bad)))
}

// onMark carries out the parts of a rule that load, change and compare the mark. It returns the
// mark, and whether the rule matches.
func onMark(t *testing.T, mark uint32, parts []expr.Any) (uint32, bool) {
	t.Helper()
	var r uint32
	word := func(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
	for _, e := range parts {
		switch e := e.(type) {
		case *expr.Meta:
			if e.SourceRegister {
				mark = r
			} else {
				r = mark
			}
		case *expr.Bitwise:
			r = r&word(e.Mask) ^ word(e.Xor)
		case *expr.Cmp:
			if r != word(e.Data) {
				return mark, false
			}
		default:
			t.Fatalf("%T", e)
		}
	}
	return mark, true
}

// A mark is matched and set under its mask: the bits of other programs stay, and have no effect.
func TestMarksUnderTheirMask(t *testing.T) {
	errors, _ := protect.DefaultMark.Errors()
	for _, m := range []protect.Mark{protect.DefaultMark, errors, {Value: 1, Mask: 1}, {Value: 0x80000000, Mask: 0xff000000}} {
		for _, others := range []uint32{0, 0xc000, 0xffffffff, 0x12345678} {
			is, not := others&^m.Mask|m.Value, others&^m.Mask
			if _, ok := onMark(t, is, marked(m)); !ok {
				t.Errorf("%v does not match %#x", m, is)
			}
			if _, ok := onMark(t, not, marked(m)); ok {
				t.Errorf("%v matches %#x", m, not)
			}
			if got, _ := onMark(t, others, setMark(m)); got != is {
				t.Errorf("%v makes %#x of %#x, want %#x", m, got, others, is)
			}
		}
	}
}
