package netio

import (
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
)

// TestLostRunsAreWhose: after a run longer than one send, with equal neighbours behind it, each has
// its own losses, whether they are lost together or one by one.
func TestLostRunsAreWhose(t *testing.T) {
	p := newPair(t, 1)
	const size, count = 1424, 47
	for _, v6 := range []bool{false, true} {
		for name, remote := range map[string]netip.Addr{"no route": netip.MustParseAddr("203.0.113.1"), "too big": addrB[v6]} {
			if name == "no route" && v6 {
				remote = netip.MustParseAddr("2001:db8:ffff::1")
			}
			outs, _ := laidOut(v6, true, 4500, count*size, size, 3*size, size-100)
			outs[0].SegSize, outs[2].SegSize = size, size
			for i := range outs {
				outs[i].Path = ipsec.NATPath(outs[i].Path.Local(), at(remote, 4500))
			}
			setMTU(t, p.a, map[string]int{"no route": 1500, "too big": 1400}[name])
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				want := outs[i].Datagrams()
				if i == 3 && name == "too big" {
					want = 0
				}
				if outs[i].Lost != want || (outs[i].Err == nil) != (want == 0) {
					t.Errorf("v6=%t, %s: %d: lost %d of %d: %v", v6, name, i, outs[i].Lost, outs[i].Datagrams(), outs[i].Err)
				}
			}
		}
	}
}
