package netio

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// laidOut returns a batch of datagrams of these sizes, end to end in one buffer like a worker's.
func laidOut(v6, encap bool, port uint16, sizes ...int) (outs []Outgoing, all []byte) {
	for i, n := range sizes {
		all = append(all, espPacket(uint32(1000+i), n)...)
	}
	rest := all
	for _, n := range sizes {
		outs = append(outs, Outgoing{Data: rest[:n], Path: espPath(encap, at(addrA[v6], port), at(addrB[v6], port))})
		rest = rest[n:]
	}
	return outs, all
}

// collect receives n octets, and returns the number of datagrams and of receives.
func collect(t *testing.T, p Port, n int) (got []byte, datagrams, receives int) {
	t.Helper()
	buf := make([]byte, 65535)
	for len(got) < n {
		in := recv(t, p, buf)
		got = append(got, in.Data...)
		o := Outgoing{Data: in.Data, SegSize: in.SegSize}
		datagrams += o.Datagrams()
		receives++
	}
	mustBeDry(t, p, buf)
	return got, datagrams, receives
}

func times(n, size int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = size
	}
	return out
}

// TestNeighboursShareASend: equal neighbours leave, and over a veth arrive, as one run; for any
// sizes, the datagrams arrive intact and in order.
func TestNeighboursShareASend(t *testing.T) {
	p := newPair(t, 1)
	tests := []struct {
		name  string
		sizes []int
		runs  int // in UDP
	}{
		{"equal", times(64, 92), 1},
		{"more than the kernel cuts at once", times(65, 92), 2},
		{"as much as a device takes", append(times(59, 1109), MaxRun-59*1109), 1},
		{"more than a device takes", times(50, 1440), 2},
		{"the last shorter", append(times(10, 92), 60), 1},
		{"nothing behind a shorter one", append(append(times(10, 92), 60), 60), 2},
		{"longer behind shorter", []int{92, 100, 100, 92, 92}, 3},
		{"alternating", []int{92, 60, 92, 60, 92}, 3},
		{"more than one system call takes", growing(3*maxMessages/2, 40), 3 * maxMessages / 2},
	}
	for _, tt := range tests {
		each(t, func(t *testing.T, v6, encap bool, port uint16) {
			outs, want := laidOut(v6, encap, port, tt.sizes...)
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				if outs[i].Err != nil || outs[i].Lost != 0 {
					t.Fatalf("%s: %d: lost %d: %v", tt.name, i, outs[i].Lost, outs[i].Err)
				}
			}
			got, datagrams, receives := collect(t, p.netB.Ports()[0], len(want))
			if !bytes.Equal(got, want) || datagrams != len(outs) {
				t.Errorf("%s: %d datagrams did not arrive as they were sent: %d", tt.name, len(outs), datagrams)
			}
			if runs := tt.runs; encap && receives != runs {
				t.Errorf("%s: they came in %d runs, want %d", tt.name, receives, runs)
			}
		})
	}
}

// growing returns n sizes of which no two neighbours fit together.
func growing(n, first int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = first + i
	}
	return out
}

// TestOnlyWhatGoesTheSameWayShares: a run never mixes TOS, sources, destinations or separate
// memory; runs may join datagrams.
func TestOnlyWhatGoesTheSameWayShares(t *testing.T) {
	p := newPair(t, 1)
	for _, v6 := range []bool{false, true} {
		outs, want := laidOut(v6, true, 4500, times(8, 100)...)
		outs[2].TOS = 0xb8
		outs[3].Path = outs[3].Path.WithLocal(addrA2[v6])
		outs[4].Path = ipsec.NATPath(at(addrA[v6], 4500), at(addrB2[v6], 4500))
		outs[6].Data = bytes.Clone(outs[6].Data)
		p.netA.Ports()[0].Send(outs)
		buf := make([]byte, 65535)
		var got []byte
		for i, count := range []int{2, 1, 1, 1, 1, 1, 1} {
			in := recv(t, p.netB.Ports()[0], buf)
			o := &outs[len(got)/100]
			got = append(got, in.Data...)
			if len(in.Data) != 100*count || in.TOS != o.TOS || in.Path != ipsec.NATPath(o.Path.Remote(), o.Path.Local()) {
				t.Errorf("receive %d: %d octets from %s to %s, TOS %#x, want %d from %s to %s, %#x",
					i, len(in.Data), in.Path.Remote(), in.Path.Local(), in.TOS, 100*count, o.Path.Local(), o.Path.Remote(), o.TOS)
			}
		}
		if !bytes.Equal(got, want) {
			t.Error("the order is another")
		}
		outs, want = laidOut(v6, true, 4500, 100, 500, 100, 340, 100)
		outs[1].SegSize, outs[3].SegSize = 100, 100 // joined with their neighbours into two runs, as the 340 end in a shorter one
		p.netA.Ports()[0].Send(outs)
		if got, datagrams, receives := collect(t, p.netB.Ports()[0], len(want)); !bytes.Equal(got, want) || datagrams != 12 || receives != 2 {
			t.Errorf("%d datagrams in %d receives, want 12 in 2", datagrams, receives)
		}
	}
}

// TestSendSaysWhatWasLost: an error belongs to its own datagrams; the others are sent.
func TestSendSaysWhatWasLost(t *testing.T) {
	p := newPair(t, 1)
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		outs, _ := laidOut(v6, encap, port, 100, 100, 1600, 4800, 100, 100, 100)
		outs[3].SegSize = 1600
		outs[5].Path = espPath(encap, outs[5].Path.Local(), netip.AddrPort{})
		p.netA.Ports()[0].Send(outs)
		for i, want := range []struct {
			lost int
			err  error
		}{{}, {}, {1, ErrTooBig}, {3, ErrTooBig}, {}, {1, errNoSocket}, {}} {
			if outs[i].Lost != want.lost || !errors.Is(outs[i].Err, want.err) {
				t.Errorf("datagram %d: lost %d, %v, want %d, %v", i, outs[i].Lost, outs[i].Err, want.lost, want.err)
			}
		}
		if _, datagrams, _ := collect(t, p.netB.Ports()[0], 400); datagrams != 4 {
			t.Errorf("%d datagrams arrived, want 4", datagrams)
		}
	})
}

func setMTU(t *testing.T, h *netlab.Host, mtu int) {
	t.Helper()
	link, err := h.Netlink().LinkByName("nn0")
	if err == nil {
		err = h.Netlink().LinkSetMTU(link, mtu)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullSocket: datagrams that a full socket refuses are lost and counted, and sending goes on
// once there is room again.
func TestFullSocket(t *testing.T) {
	p := newPair(t, 1)
	for _, encap := range []bool{true, false} {
		port := uint16(0)
		if encap {
			port = 4500
		}
		outs, _ := laidOut(false, encap, port, growing(maxMessages, 1300)...)
		s, err := p.netA.ports[0].socketFor(&outs[0])
		if err != nil {
			t.Fatal(err)
		}
		setOption(t, s, unix.SOL_SOCKET, unix.SO_SNDBUF, 4608)
		// Packets that wait for ARP take room in the socket's buffer.
		for i := range outs {
			outs[i].Path = espPath(encap, outs[i].Path.Local(), at(netip.MustParseAddr("192.0.2.99"), port))
		}
		name, want := "net_send_would_block", ErrWouldBlock
		if !encap {
			name, want = "net_send_no_buffers", errNoBuffers // which is how a raw socket says it
		}
		before := p.netA.Counters()[name]
		p.netA.Ports()[0].Send(outs)
		lost := uint64(0)
		for i := range outs {
			if outs[i].Err != nil && !errors.Is(outs[i].Err, want) {
				t.Errorf("datagram %d: %v", i, outs[i].Err)
			}
			lost += uint64(outs[i].Lost)
		}
		if lost == 0 || lost == maxMessages || outs[0].Err != nil || p.netA.Counters()[name]-before != lost {
			t.Errorf("udp=%t: %d of %d were lost, %s = %d", encap, lost, maxMessages, name, p.netA.Counters()[name]-before)
		}
	}
}

// checksums turns the UDP checksums of sent packets on or off.
func checksums(t *testing.T, s *socket, on bool) {
	t.Helper()
	level, opt, off := unix.SOL_SOCKET, unix.SO_NO_CHECK, 1
	if s.v6 {
		level, opt = unix.SOL_UDP, unix.UDP_NO_CHECK6_TX
	}
	if on {
		off = 0
	}
	setOption(t, s, level, opt, off)
}

func setOption(t *testing.T, s *socket, level, opt, value int) {
	t.Helper()
	if err := unix.SetsockoptInt(s.fd, level, opt, value); err != nil {
		t.Fatal(err)
	}
}
