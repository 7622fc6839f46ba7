package netio

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	now, news := time.Now(), 0
	remote := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i)) }
	for i := range 3 * maxRefusals {
		if r.add(remote(i), now) {
			news++
		}
		if r.add(remote(i), now) {
			t.Errorf("%s is news twice", remote(i))
		}
		if !r.has(remote(i)) {
			t.Errorf("%s is forgotten", remote(i))
		}
	}
	if news != maxRefusals || r.n != maxRefusals || r.has(remote(0)) {
		t.Errorf("%d refusals are news, %d are remembered", news, r.n)
	}
	r.add(remote(99), now.Add(-refusalLasts))
	if r.has(remote(99)) {
		t.Error("a refusal is not over when its time is")
	}
}

// TestRefusedRuns: if the kernel refuses a run its datagrams are sent one by one; that is
// remembered for the remote, logged once, and tried again later.
func TestRefusedRuns(t *testing.T) {
	p := newPair(t, 1)
	for _, v6 := range []bool{false, true} {
		var said bytes.Buffer
		tx, rx := p.netA.ports[0], p.netB.Ports()[0]
		tx.log = slog.New(slog.NewTextHandler(&said, nil))
		outs, want := laidOut(v6, true, 4500, append(times(20, 100), 60)...)
		s, err := tx.socketFor(&outs[0])
		if err != nil {
			t.Fatal(err)
		}
		send := func(wantReceives int) {
			t.Helper()
			tx.Send(outs)
			if got, _, receives := collect(t, rx, len(want)); !bytes.Equal(got, want) || receives != wantReceives {
				t.Errorf("v6=%t: arrived in %d receives, want %d", v6, receives, wantReceives)
			}
		}
		if v6 { // which requires checksums, or an option to omit them
			for _, s := range p.netB.ports[0].socks {
				if s.v6 && !s.raw {
					setOption(t, s, unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1)
				}
			}
		}
		before := p.netA.Counters()["net_gso_refused"]
		checksums(t, s, false) // without them the kernel refuses UDP_SEGMENT
		send(21)
		send(21)
		checksums(t, s, true)
		send(21) // not yet tried again
		for i := range tx.refused.list[:tx.refused.n] {
			tx.refused.list[i].until = time.Now()
		}
		send(1)
		if n := p.netA.Counters()["net_gso_refused"] - before; n != 1 {
			t.Errorf("net_gso_refused = %d, want 1", n)
		}
		if n := bytes.Count(said.Bytes(), []byte("\n")); n != 1 {
			t.Errorf("%d lines in the log: %s", n, said.String())
		}
	}
}
