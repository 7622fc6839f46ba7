package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// A path that no SA takes is forgotten after a while, and at once where there are very many.
func TestPathsAreForgotten(t *testing.T) {
	a := newGateway(t, 1, nil)
	now := time.Unix(1000, 0)
	a.clock.Store(now.UnixNano())
	for i := range rememberMost + 10 {
		sa := childSA(t, a, a, ipsec.ChildID(i+1))
		local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)}), 4500)
		sa.Path = ipsec.NATPath(local, netip.AddrPortFrom(outerB.Addr(), uint16(1+i%60000)))
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		a.RemoveSA(sa.ID)
	}
	count := func() (n int) {
		for _, pt := range a.paths.all {
			for ; pt != nil; pt = pt.next {
				n++
			}
		}
		if n != a.paths.count || n != a.paths.idle {
			t.Errorf("%d paths, counted %d, %d of them idle", n, a.paths.count, a.paths.idle)
		}
		return n
	}
	if n := count(); n != rememberMost {
		t.Errorf("%d paths are remembered", n)
	}
	a.refreshSome(now.Add(rememberFor - time.Second))
	if n := count(); n != rememberMost {
		t.Errorf("%d paths are remembered", n)
	}
	a.refreshSome(now.Add(rememberFor + refreshEvery))
	if n := count(); n != 0 {
		t.Errorf("%d paths are remembered", n)
	}
}
