package netio

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestFullDevice: datagrams that the device's queue refuses are lost and counted, and sending goes
// on once there is room again.
func TestFullDevice(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	const rate, queue = 20e6, 20_000
	if err := p.a.Shape("nn0", rate, queue, false); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		outs, _ := laidOut(v6, encap, port, growing(maxMessages, 1300)...)
		before := p.netA.Counters()["net_send_no_buffers"]
		lost, sent := uint64(0), 0
		for range 4 {
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				if outs[i].Err != nil && !errors.Is(outs[i].Err, errNoBuffers) {
					t.Errorf("datagram %d: %v", i, outs[i].Err)
				}
				lost += uint64(outs[i].Lost)
				sent += 1 - outs[i].Lost
			}
		}
		if counted := p.netA.Counters()["net_send_no_buffers"] - before; lost == 0 || sent < 10 || counted != lost {
			t.Errorf("%d sent, %d lost, %d counted", sent, lost, counted)
		}
		for range sent { // exactly these arrive
			recv(t, p.netB.Ports()[0], buf)
		}
		mustBeDry(t, p.netB.Ports()[0], buf)
		one := outs[:1]
		if p.netA.Ports()[0].Send(one); one[0].Err != nil {
			t.Errorf("with room again: %v", one[0].Err)
		}
		if in := recv(t, p.netB.Ports()[0], buf); !bytes.Equal(in.Data, one[0].Data) {
			t.Errorf("%d octets came", len(in.Data))
		}
	})
}

// TestICMPErrorsLoseNothing: an ICMP error about one datagram fails no other, and does not keep
// poll awake.
func TestICMPErrorsLoseNothing(t *testing.T) {
	p := newPair(t, 1)
	buf := make([]byte, 65535)
	rx, tx := p.netB.Ports()[0], p.netA.Ports()[0]
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		good := Outgoing{Data: espPacket(0xc0ffee01, 100), Path: espPath(encap, netip.AddrPort{}, at(addrB[v6], port))}
		bad := Outgoing{Data: espPacket(0xc0ffee01, 100), Path: espPath(true, netip.AddrPort{}, at(addrB[v6], 9999))} // no socket is there
		for range 20 {
			outs := []Outgoing{bad, good}
			tx.Send(outs)
			if outs[1].Err != nil {
				t.Fatal(outs[1].Err)
			}
			recv(t, rx, buf)
		}
		var in Received
		for deadline := time.Now().Add(5 * time.Second); poll(tx, 0); {
			if err := tx.Recv(buf, &in); !errors.Is(err, ErrWouldBlock) {
				t.Fatalf("Recv: %v, kind %d", err, in.Kind)
			}
			if time.Now().After(deadline) {
				t.Fatal("poll says that there is something to read, and there is not")
			}
		}
	})
}
