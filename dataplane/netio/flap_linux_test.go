package netio

import (
	"bytes"
	"testing"
	"time"
)

// TestInterfaceFlaps: while the device is down every datagram is lost, reported and counted, in any
// batch, and nothing keeps poll awake; once it is up again, sending goes on.
func TestInterfaceFlaps(t *testing.T) {
	p := newPair(t, 1)
	tx, rx := p.netA.Ports()[0], p.netB.Ports()[0]
	for name, value := range map[string]string{"keep_addr_on_down": "1", "accept_dad": "0"} { // or our address is gone, too
		if err := p.a.Sysctl("ipv6/conf/nn0/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		outs, want := laidOut(v6, encap, port, append(times(20, 100), growing(20, 200)...)...)
		for range 2 {
			if err := p.a.SetLink("nn0", false); err != nil {
				t.Fatal(err)
			}
			before := p.netA.Counters()["net_send_errors"]
			tx.Send(outs)
			for i := range outs {
				if outs[i].Err == nil || outs[i].Lost != 1 {
					t.Fatalf("datagram %d over a device that is down: lost %d, %v", i, outs[i].Lost, outs[i].Err)
				}
			}
			if n := p.netA.Counters()["net_send_errors"] - before; n != uint64(len(outs)) {
				t.Errorf("net_send_errors = %d, want %d", n, len(outs))
			}
			for poll(tx, 0) { // every ready descriptor turns out dry
				mustBeDry(t, tx, nil)
			}
			if err := p.a.SetLink("nn0", true); err != nil {
				t.Fatal(err)
			}
			waitUp(t, p.a)
			sendUntil(t, tx, &outs[0])
			recv(t, rx, nil)
			tx.Send(outs)
			got := make([]byte, 0, len(want))
			for len(got) < len(want) {
				got = append(got, bytes.Clone(recv(t, rx, nil).Data)...)
			}
			if !bytes.Equal(got, want) {
				t.Error("after the flap something else came")
			}
		}
	})
}

// sendUntil sends out until it succeeds: a link that has just come up may not have its route yet.
func sendUntil(t *testing.T, p Port, out *Outgoing) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); sendOne(p, out) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("nothing can be sent after the link came up again")
		}
	}
}
