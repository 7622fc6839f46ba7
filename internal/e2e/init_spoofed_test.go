//go:build linux

package e2e

import (
	"context"
	enc "encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// spoofedRate is how many requests the spoofed flood sends in a second.
const spoofedRate = 10000

// spoofed returns the i-th IP packet of the spoofed flood, each from an address of its own: a
// request for Curve25519 or for MODP-8192, which takes a hundred milliseconds, well-formed or, each
// fourth, malformed in one of several ways.
func (f *flood) spoofed(i int) []byte {
	group, public := wire.TransformID(wire.GroupX25519), byte(9)
	if i%2 == 1 {
		group, public = wire.GroupMODP8192, 2
	}
	value := make([]byte, suite.PublicSize(group))
	value[len(value)-1] = public
	nonce := enc.BigEndian.AppendUint64(make([]byte, 24), uint64(i))
	m := wire.Message{
		Header: wire.Header{InitiatorSPI: wire.SPI(i + 1), MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true},
		Payloads: []wire.Payload{
			&wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
				{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128}, {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256}, {Type: wire.TransformKE, ID: group},
			}}}},
			&wire.KE{Group: group, Data: value}, &wire.Nonce{Data: nonce},
		},
	}
	data := m.AppendTo(nil)
	if i%4 >= 2 {
		switch i / 4 % 4 {
		case 0:
			data = data[:len(data)-5]
		case 1:
			enc.BigEndian.PutUint32(data[24:], uint32(len(data)+100))
		case 2:
			data[28+2], data[28+3] = 0xff, 0xff // the length of the SA payload
		case 3:
			clear(data[28:])
		}
	}
	source, to := netip.AddrFrom4([4]byte{198, 18 + byte(i>>16&1), byte(i >> 8), byte(i)}), addr(f.outer.right)
	if to.Is6() {
		source = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x18, byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
	}
	return netlab.UDPPacket(netip.AddrPortFrom(source, floodPort), netip.AddrPortFrom(to, f.port), data)
}

// discarded returns a flood of the same packets to a port of right whose socket drops them unread:
// what they cost the sender and the kernel, without the daemon.
func (f *flood) discarded(t *testing.T) *flood {
	t.Helper()
	o := *f
	ok(t, f.n.right.Do(func() error {
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		o.port = conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // no octet of any packet
		var refused error
		err = raw.Control(func(fd uintptr) {
			refused = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
		})
		return errors.Join(err, refused)
	}))
	o.make = o.spoofed
	return &o
}

// TestSpoofedFlood floods a gateway with 10,000 spoofed IKE_SA_INIT requests a second, for ten
// seconds with CULVERT_MEASURE=1 and otherwise for two, beside a tunnel under TCP: its memory grows
// by less than 32 MB, status is answered within a second, a new peer gets in, and the tunnel keeps
// its throughput. That is compared, in turn, with the throughput while the same packets go to a
// socket that drops them, since their sender takes from the same processors. It is judged loosely
// unless CULVERT_MEASURE=1, beside other tests.
func TestSpoofedFlood(t *testing.T) {
	length, rounds, least := 2*time.Second, 5, 0.5
	if os.Getenv("CULVERT_MEASURE") == "1" {
		length, rounds, least = 10*time.Second, 40, 0.95
	}
	for _, o := range []outer{outer4, outer6} {
		t.Run(o.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			left.log, right.log = "info", "info" // as by default
			late := func(local, remote, own, other string) string {
				return peerText("late", identities(local, remote), childText("net", own, other, ""))
			}
			right.start(peerText("left", identities("right", "left"), rightChildren("")...), late("right", "late", "10.2.0.0/16", "10.7.0.0/24"))
			to := fmt.Sprintf("remote = %q\n", o.right)
			left.start(peerText("right", to+identities("left", "right"), leftChildren("")...), peerText("late", to+identities("late", "right"), childText("net", "10.7.0.0/24", "10.2.0.0/16", "")))
			left.do("up", "right")
			n.wantPing(t, 10*time.Second)
			f := n.newFlood(t, o, false)
			f.make, f.rate = f.spoofed, spoofedRate
			load, err := netlab.StartLoad(t.Context(), netlab.Flow{From: n.left, To: n.right, Src: leftLAN4, Dst: rightLAN4, Streams: 2})
			ok(t, err)
			defer load.Stop()
			before, err := right.proc.Memory()
			ok(t, err)

			stop := f.begin(t)
			begun := time.Now()
			slowest := time.Duration(0)
			for range 3 {
				asked := time.Now()
				right.status()
				slowest = max(slowest, time.Since(asked))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			called := time.Now()
			_, err = left.try(ctx, "up", "late")
			ok(t, err)
			up := time.Since(called)
			time.Sleep(max(length-time.Since(begun), 0)) // what is carried meanwhile is measured
			took := time.Since(begun)
			sent := stop()
			after, err := right.proc.Memory()
			ok(t, err)
			load.Stop()

			t.Logf("%d requests in %v: memory grows by %d KiB, status takes %v, a new peer is up after %v", sent, took, (after-before)>>10, slowest, up)
			idle := usedIn(t, right, length/2)
			stop = f.begin(t)
			used := usedIn(t, right, length/2) - idle
			few := stop()
			t.Logf("%d requests cost %v of CPU time, %v each", few, used, used/time.Duration(max(few, 1)))
			ratio, _ := f.throughput(t, f.discarded(t), rounds, 250*time.Millisecond)
			if grown := after - before; grown > 32<<20 {
				t.Errorf("memory grows by %d octets", grown)
			}
			if slowest > time.Second {
				t.Errorf("status takes %v", slowest)
			}
			if ratio < least {
				t.Errorf("the flood leaves %.2f of the throughput", ratio)
			}
			if sent < int(length.Seconds()*spoofedRate)/2 {
				t.Errorf("only %d requests were sent", sent)
			}
			wantNeverDown(t, left, right)
		})
	}
}
