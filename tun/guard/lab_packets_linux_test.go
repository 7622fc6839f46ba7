package guard

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// site is a gateway with a guard:
//
//	inside ── lan ┬ gw ┬ wan ── outside     plain, the Internet
//	              │    └ cv0 ── tunnel      stands for the device
//
// No route leads protected networks to the device unless a test adds it: there is only the guard.
type site struct {
	gw, inside, outside, tunnel *netlab.Host
	seen                        *seen // the packets that leave by wan
}

func newSite(t *testing.T) *site {
	t.Helper()
	lab := netlab.Need(t)
	h, err := lab.Host("gw")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{gw: h}
	for _, x := range []struct {
		host  **netlab.Host
		name  string
		dev   string
		addrs [2][]string
	}{
		{&s.inside, "inside", "lan", [2][]string{{"10.1.0.254/24", "fd01::254/64", "10.7.0.1/24"}, {"10.1.0.5/24", "fd01::5/64"}}},
		{&s.outside, "outside", "wan", [2][]string{{"192.0.2.1/24", "2001:db8::1/64"}, {"192.0.2.2/24", "2001:db8::2/64"}}},
		{&s.tunnel, "tunnel", deviceName, [2][]string{{"198.51.100.1/24", "2001:db8:9::1/64"}, {"198.51.100.2/24", "2001:db8:9::2/64"}}},
	} {
		other, err := lab.Host(x.name)
		if err != nil {
			t.Fatal(err)
		}
		*x.host = other
		if err := lab.Link(netlab.Iface{Host: h, Name: x.dev, Addrs: x.addrs[0]}, netlab.Iface{Host: other, Name: x.dev, Addrs: x.addrs[1]}, 1500); err != nil {
			t.Fatal(err)
		}
		for _, sysctl := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := other.Sysctl(sysctl, "0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	route(t, h, "default", "192.0.2.2")
	route(t, h, "::/0", "2001:db8::2")
	for host, via := range map[*netlab.Host][2]string{s.inside: {"10.1.0.254", "fd01::254"}, s.outside: {"192.0.2.1", "2001:db8::1"}, s.tunnel: {"198.51.100.1", "2001:db8:9::1"}} {
		route(t, host, "default", via[0])
		route(t, host, "::/0", via[1])
	}
	for _, sysctl := range []string{"all", "default", "wan", "lan", deviceName} {
		if err := h.Sysctl("ipv4/conf/"+sysctl+"/rp_filter", "0"); err != nil {
			t.Fatal(err)
		}
	}
	s.seen = sniff(t, s.outside, "wan")
	return s
}

func route(t *testing.T, h *netlab.Host, dst, via string) {
	t.Helper()
	if err := h.Route(dst, via, 0); err != nil {
		t.Fatal(err)
	}
}

// seen holds the packets that a device of a host has received, by the number in their payload.
type seen struct {
	mu  sync.Mutex
	ids map[uint32]int
}

// magic is the start of the payload of test packets. A number follows.
const magic = 0xc0117e57

func sniff(t *testing.T, h *netlab.Host, dev string) *seen {
	t.Helper()
	s := &seen{ids: make(map[uint32]int)}
	_, err := h.Sniff(dev, func(frame []byte) {
		for i := 14; i+8 <= len(frame); i++ { // anywhere, for packets quoted in ICMP errors
			if binary.BigEndian.Uint32(frame[i:]) == magic {
				s.mu.Lock()
				s.ids[binary.BigEndian.Uint32(frame[i+4:])]++
				s.mu.Unlock()
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *seen) has(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id] > 0
}

// await waits for a packet.
func (s *seen) await(t *testing.T, id uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := netlab.Until(ctx, "packet", func() bool { return s.has(id) }); err != nil {
		t.Fatalf("packet %d did not arrive: %v", id, err)
	}
}

func payload(id uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, magic), id)
}

// ip returns an IP packet. The kernel fills in IPv4's checksum.
func ip(src, dst netip.Addr, proto, hops byte, data []byte) []byte {
	if src.Is4() {
		b := make([]byte, 20, 20+len(data))
		b[0], b[8], b[9] = 0x45, hops, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(data)))
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		return append(b, data...)
	}
	b := make([]byte, 40, 40+len(data))
	b[0], b[6], b[7] = 0x60, proto, hops
	binary.BigEndian.PutUint16(b[4:], uint16(len(data)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, data...)
}

func udpHeader(sport, dport uint16, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	return append(b, data...)
}

func udp(src, dst string, sport, dport uint16, id uint32) []byte {
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	return ip(a, b, unix.IPPROTO_UDP, 64, udpHeader(sport, dport, payload(id)))
}

// icmpQuoting returns an ICMP error.
func icmpQuoting(src, dst string, typ byte, quoted []byte) []byte {
	a, proto := netip.MustParseAddr(src), byte(unix.IPPROTO_ICMP)
	if a.Is6() {
		proto = unix.IPPROTO_ICMPV6
	}
	return ip(a, netip.MustParseAddr(dst), proto, 64, append([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, quoted...))
}

// redirectQuoting returns an ICMPv6 redirect about a destination, with an option of a link address
// before the quoted packet.
func redirectQuoting(src, dst, about string, quoted []byte) []byte {
	b := append([]byte{redirect6, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(src).AsSlice()...)
	b = append(b, netip.MustParseAddr(about).AsSlice()...)
	b = append(b, 2, 1, 2, 0, 0, 0, 0, 1)
	for len(quoted)%8 != 0 {
		quoted = append(quoted, 0)
	}
	b = append(append(b, 4, byte(1+len(quoted)/8), 0, 0, 0, 0, 0, 0), quoted...)
	return ip(netip.MustParseAddr(src), netip.MustParseAddr(dst), unix.IPPROTO_ICMPV6, 255, b)
}

// send sends complete IP packets from a host by its routes.
func send(t *testing.T, h *netlab.Host, packets ...[]byte) {
	t.Helper()
	sendMarked(t, h, 0, packets...)
}

func sendMarked(t *testing.T, h *netlab.Host, mark uint32, packets ...[]byte) {
	t.Helper()
	err := h.Do(func() error {
		var fds [2]int
		for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
			fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
				return err
			}
			fds[i] = fd
		}
		for _, p := range packets {
			var err error
			if p[0]>>4 == 4 {
				err = unix.Sendto(fds[0], p, 0, &unix.SockaddrInet4{Addr: [4]byte(p[16:20])})
			} else {
				err = unix.Sendto(fds[1], p, 0, &unix.SockaddrInet6{Addr: [16]byte(p[24:40])})
			}
			if err != nil && err != unix.EPERM { // the error of a packet that a guard drops
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wantStats compares the increase of a guard's counters since before.
func wantStats(t *testing.T, g *Guard, before Stats, out, in, icmp uint64) {
	t.Helper()
	now := g.Stats()
	if got := (Stats{now.Out - before.Out, now.In - before.In, now.ICMP - before.ICMP, 0}); got != (Stats{out, in, icmp, 0}) {
		t.Errorf("the guard has counted %+v, want %d out, %d in, %d ICMP", got, out, in, icmp)
	}
}

// both returns a policy of both families.
func both() protect.Change {
	s := protect.NewSet()
	return s.Change([]protect.Policy{policy("a", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64"))}, nil)
}

// waitStats waits until ok accepts the counters.
func waitStats(t *testing.T, g *Guard, ok func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := netlab.Until(ctx, "counters", func() bool { return ok(g.Stats()) }); err != nil {
		t.Fatalf("the guard has counted %+v: %v", g.Stats(), err)
	}
}

// barrierID is the number of a packet whose arrival shows that earlier ones have been handled.
const barrierID = 1 << 30
