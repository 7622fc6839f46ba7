package netio

import (
	"bytes"
	"testing"

	"culvert/internal/ipsec"
)

// TestNoOffloads: with NoOffloads a run leaves as single datagrams, and a run from elsewhere
// arrives as such.
func TestNoOffloads(t *testing.T) {
	p := newPair(t, 1)
	cfg := Config{IKEPort: 1500, NATPort: 14500, Workers: 1, Mark: testMark, NoOffloads: true}
	netA, netB := openIn(t, p.a, cfg), openIn(t, p.b, cfg)
	const n, size = 10, 500
	for _, v6 := range []bool{false, true} {
		for _, tt := range []struct {
			name     string
			tx, rx   *Net
			from, to uint16
			receives int
		}{
			{"both with", p.netA, p.netB, 4500, 4500, 1},
			{"sent without", netA, p.netB, 14500, 4500, n},
			{"received without", p.netA, netB, 4500, 14500, n},
		} {
			outs, want := laidOut(v6, true, 4500, times(n, size)...)
			for i := range outs {
				outs[i].Path = ipsec.NATPath(at(addrA[v6], tt.from), at(addrB[v6], tt.to))
			}
			tt.tx.Ports()[0].Send(outs)
			got, datagrams, receives := collect(t, tt.rx.Ports()[0], len(want))
			if !bytes.Equal(got, want) || datagrams != n || receives != tt.receives {
				t.Errorf("v6=%t, %s: %d datagrams in %d receives, want %d in %d", v6, tt.name, datagrams, receives, n, tt.receives)
			}
		}
	}
}
