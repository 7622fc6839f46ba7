package netio

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"

	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// sniffUDP collects the IP packets with parts of UDP datagrams from a's addresses that reach b's
// device. The returned function waits for the packets so far, and returns and clears the
// collection.
func sniffUDP(t *testing.T, p *pair, v6 bool) func() [][]byte {
	t.Helper()
	var (
		mu      sync.Mutex
		packets [][]byte
	)
	s, err := p.b.Sniff("nn0", func(frame []byte) {
		f, ok := netlab.ParseFrame(frame)
		if ok && f.Protocol == unix.IPPROTO_UDP && (f.Src == addrA[v6] || f.Src == addrA2[v6]) {
			mu.Lock()
			defer mu.Unlock()
			packets = append(packets, bytes.Clone(frame[14:]))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return func() [][]byte {
		if lost := s.Sync(); lost > 0 {
			t.Fatalf("%d frames were not seen", lost)
		}
		mu.Lock()
		defer mu.Unlock()
		took := packets
		packets = nil
		return took
	}
}

// eachPort runs f for both families and both ports.
func eachPort(t *testing.T, f func(t *testing.T, v6, natPort bool, port uint16)) {
	for _, v6 := range []bool{false, true} {
		for natPort, port := range map[bool]uint16{false: 500, true: 4500} {
			t.Run(fmt.Sprintf("v6=%t/%d", v6, port), func(t *testing.T) { f(t, v6, natPort, port) })
		}
	}
}

// Whole or in fragments of a size, the datagram of SendIKE arrives.
func TestSendIKEInFragments(t *testing.T) {
	p := newPair(t, 1)
	p.netA.Close()
	p.netA = openIn(t, p.a, Config{IKEPort: 500, NATPort: 4500, Mark: testMark, IKETOS: 48 << 2})
	buf := make([]byte, 65535)
	eachPort(t, func(t *testing.T, v6, natPort bool, port uint16) {
		seen := sniffUDP(t, p, v6)
		local, remote := at(addrA2[v6], 9), at(addrB2[v6], port)
		for _, tt := range []struct {
			octets, size int
			packets      map[bool]int // by whether it is IPv6
		}{
			{3000, 1280, map[bool]int{false: 3, true: 3}},
			{180, 160, map[bool]int{false: 2, true: 2}},
			{1000, 1280, map[bool]int{false: 1, true: 1}},
			{9000, 576, map[bool]int{false: 17, true: 18}},
		} {
			msg := espPacket(0x11223344, tt.octets)
			if err := p.netA.SendIKEInFragments(ikePath(natPort, local, remote), msg, tt.size); err != nil {
				t.Fatal(err)
			}
			in := readIKE(t, p.netB, buf)
			if !bytes.Equal(in.Data, msg) || in.Path != ikePath(natPort, remote, at(addrA2[v6], port)) {
				t.Errorf("%d in %d: %d octets from %s to %s", tt.octets, tt.size, len(in.Data), in.Path.Remote(), in.Path.Local())
			}
			made := seen()
			if err := p.netA.SendIKE(ikePath(natPort, local, remote), msg); err != nil {
				t.Fatal(err)
			}
			readIKE(t, p.netB, buf)
			usual := seen()
			if len(made) != tt.packets[v6] {
				t.Errorf("%d in %d: %d packets, want %d", tt.octets, tt.size, len(made), tt.packets[v6])
			}
			checkMade(t, v6, made, usual, tt.size)
		}
	})
}

// checkMade checks that no made packet is larger than size, and that their datagram and IP headers
// are like the kernel's.
func checkMade(t *testing.T, v6 bool, made, usual [][]byte, size int) {
	t.Helper()
	if len(made) == 0 || len(usual) == 0 {
		t.Fatalf("%d packets, and %d of the kernel's", len(made), len(usual))
	}
	for _, p := range made {
		if len(p) > size {
			t.Errorf("v6=%t: a packet of %d octets, more than %d", v6, len(p), size)
		}
		want := usual[0]
		if same := !v6 && p[1] == want[1] && p[8] == want[8] || v6 && bytes.Equal(p[:4], want[:4]) && p[7] == want[7]; !same {
			t.Errorf("v6=%t: header %x, the kernel's %x", v6, p[:20], want[:20])
		}
	}
	got, want := reassemble(t, v6, made), reassemble(t, v6, usual)
	if len(usual) == 1 { // the device is to complete this checksum, and the receiver has checked it
		clear(got[6:8])
		clear(want[6:8])
	}
	if !bytes.Equal(got, want) {
		t.Errorf("v6=%t: another datagram than the kernel's: %x, %x", v6, got[:12], want[:12])
	}
}

// Where this host translates addresses, the fragments leave with the translated address and port,
// and none is larger than before.
func TestFragmentsThroughNAT(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft")
	}
	p := newPair(t, 1)
	if err := p.a.Masquerade("nn0"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	eachPort(t, func(t *testing.T, v6, natPort bool, port uint16) {
		seen := sniffUDP(t, p, v6)
		for _, tt := range []struct{ octets, size int }{{3000, 1280}, {3000, 1400}, {200, 128}, {2000, 600}, {1000, 1280}} {
			msg := espPacket(0x11223344, tt.octets)
			if err := p.netA.SendIKEInFragments(ikePath(natPort, at(addrA[v6], 0), at(addrB[v6], port)), msg, tt.size); err != nil {
				t.Fatal(err)
			}
			in := readIKE(t, p.netB, buf)
			if !bytes.Equal(in.Data, msg) || in.Path.Via().CarriesESP != natPort || in.Path.Remote().Port() == port {
				t.Errorf("%d in %d: %d octets from %s", tt.octets, tt.size, len(in.Data), in.Path.Remote())
			}
			packets := seen()
			for _, packet := range packets {
				if len(packet) > tt.size {
					t.Errorf("%d in %d: a packet of %d octets", tt.octets, tt.size, len(packet))
				}
			}
			if (len(packets) > 1) != (tt.octets > tt.size) {
				t.Errorf("%d in %d: %d packets", tt.octets, tt.size, len(packets))
			}
		}
	})
}

// The kernel's path MTU has no effect: a smaller one causes neither smaller fragments nor an error.
func TestFragmentsIgnoreTheKernelsPathMTU(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	for v6, length := range map[bool]string{false: "/32", true: "/128"} {
		if err := p.a.Route(addrB2[v6].String()+length, addrB[v6].String(), 1300); err != nil {
			t.Fatal(err)
		}
		seen := sniffUDP(t, p, v6)
		if err := p.netA.SendIKEInFragments(ikePath(false, at(addrA[v6], 0), at(addrB2[v6], 500)), make([]byte, 3000), 1448); err != nil {
			t.Fatal(err)
		}
		readIKE(t, p.netB, buf)
		if got := seen(); len(got) != 3 || len(got[0]) < 1448-7 {
			t.Errorf("v6=%t: %d packets, the first of %d octets", v6, len(got), len(got[0]))
		}
	}
}

// Each datagram has its own identification, so that fragments of two are never mixed.
func TestFragmentsHaveTheirOwnID(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	for v6 := range addrA {
		seen, ids := sniffUDP(t, p, v6), make(map[string]bool)
		for range 20 {
			if err := p.netA.SendIKEInFragments(ikePath(false, at(addrA[v6], 0), at(addrB[v6], 500)), make([]byte, 100), 120); err != nil {
				t.Fatal(err)
			}
			readIKE(t, p.netB, buf)
			_, _, _, id := fragmentOf(t, v6, seen()[0])
			ids[string(id)] = true
		}
		if len(ids) < 19 { // two of 20 out of 65535 rarely coincide
			t.Errorf("v6=%t: %d identifications for 20 datagrams", v6, len(ids))
		}
	}
}

func TestFragmentsErrors(t *testing.T) {
	p := newPair(t, 1)
	for v6 := range addrA {
		remote, msg := at(addrB[v6], 500), make([]byte, 3000)
		for _, tt := range []struct {
			name  string
			local netip.AddrPort
			size  int
			want  error
		}{
			{"no local address", netip.AddrPort{}, 1280, errors.ErrUnsupported},
			{"an unspecified one", at(map[bool]netip.Addr{false: netip.IPv4Unspecified(), true: netip.IPv6Unspecified()}[v6], 500), 1280, errors.ErrUnsupported},
			{"one of the other family", at(addrA[!v6], 500), 1280, errors.ErrUnsupported},
			{"one of another host", at(addrB2[v6], 500), 1280, ErrNoRoute},
			{"larger than the device takes", at(addrA[v6], 500), 2000, unix.EMSGSIZE},
			{"too small", at(addrA[v6], 500), 20, errSmallFragments},
		} {
			if err := p.netA.SendIKEInFragments(ikePath(false, tt.local, remote), msg, tt.size); !errors.Is(err, tt.want) {
				t.Errorf("v6=%t, %s: %v, want %v", v6, tt.name, err, tt.want)
			}
		}
	}
}

// The sockets have the mark and the priority of IKE's sockets, and receive nothing.
func TestRawSocketsAreIKEs(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	for v6 := range addrA {
		raw := p.netB.raws.of(addrB[v6])
		if got := option(t, raw, unix.SO_MARK); got != testMark {
			t.Errorf("v6=%t: mark %#x, want %#x", v6, got, testMark)
		}
		if got := option(t, raw, unix.SO_PRIORITY); got != priorityInteractive {
			t.Errorf("v6=%t: priority %d, want %d", v6, got, priorityInteractive)
		}
		d := datagram{src: at(addrA[v6], 500), dst: at(addrB[v6], 500), hops: 1, id: newID()}
		list, err := d.packets(make([]byte, 10), 1280)
		if err != nil {
			t.Fatal(err)
		}
		list[0][map[bool]int{false: 9, true: 6}[v6]] = unix.IPPROTO_RAW
		if err := p.netA.sendRaw(p.netA.raws.of(addrA[v6]), &d, list); err != nil {
			t.Fatal(err)
		}
		if err := p.netA.SendIKE(ikePath(false, d.src, d.dst), []byte("what came before it has arrived")); err != nil {
			t.Fatal(err)
		}
		readIKE(t, p.netB, buf)
		fd, err := raw.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := fd.Control(func(fd uintptr) {
			if n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT); err != unix.EAGAIN {
				t.Errorf("v6=%t: received %d octets, %v", v6, n, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Without CAP_NET_RAW everything works except fragments of a chosen size.
func TestFragmentsNeedNetRaw(t *testing.T) {
	p := newPair(t, 1)
	p.netA.Close()
	var n *Net
	if err := p.a.Do(func() error {
		return without(unix.CAP_NET_RAW, func() (err error) {
			n, err = Open(Config{IKEPort: 500, NATPort: 4500, Mark: testMark})
			return err
		})
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	buf := make([]byte, 65535)
	for v6 := range addrA {
		local, remote := at(addrA[v6], 500), at(addrB[v6], 500)
		if err := n.SendIKEInFragments(ikePath(false, local, remote), make([]byte, 100), 1280); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("v6=%t: %v, want ErrUnsupported", v6, err)
		}
		if err := n.SendIKE(ikePath(false, local, remote), make([]byte, 100)); err != nil {
			t.Error(err)
		}
		readIKE(t, p.netB, buf)
	}
}

// without runs f on a thread that lacks a capability.
func without(capability int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return err
	}
	lacks := slices.Clone(had[:])
	lacks[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &lacks[0]); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, unix.Capset(&header, &had[0]))
}
