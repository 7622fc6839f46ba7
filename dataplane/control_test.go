package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// TestFirstHopsAreAskedAgain: each path once, whoever complained, and all of them within a minute.
func TestFirstHopsAreAskedAgain(t *testing.T) {
	link := 1500
	asked := 0
	a := newGateway(t, 1, func(c *Config) {
		c.LinkMTU = func(_, _ netip.Addr) int { asked++; return link }
	})
	for id := ipsec.ChildID(1); id <= 10; id++ {
		if err := a.InstallInbound(childSA(t, a, a, id)); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times for the one path of ten SAs", asked)
	}
	want := func(path, questions int) {
		t.Helper()
		if asked != questions {
			t.Errorf("asked %d times, want %d", asked, questions)
		}
		mtu := gcmFormat.InnerMTU(path, false, true)
		for id := ipsec.ChildID(1); id <= 10; id++ {
			if st, _ := a.ChildStats(id); st.MTU != mtu {
				t.Errorf("SA %d: MTU %d, want %d", id, st.MTU, mtu)
			}
		}
		if len(a.mtus) != 1 || a.mtus[mtu] != 10 {
			t.Errorf("MTUs of the SAs: %v", a.mtus)
		}
		asked = 0
	}
	asked = 0
	link = 1400
	a.noticed()
	want(1500, 0) // nobody complained
	a.doubt(a.pairs[3])
	a.doubt(a.pairs[4])
	a.noticed()
	want(1400, 1) // one path, ten SAs
	link = 1390
	now := time.Unix(1000, 0)
	a.refreshSome(now)
	want(1390, 1)
	link = 1380
	a.refreshSome(now.Add(refreshEvery - 1))
	want(1390, 0)
	a.refreshSome(now.Add(refreshEvery))
	want(1380, 1)
	link = 1500
	a.doubt(a.pairs[3])
	a.noticed()
	want(1500, 1) // upwards, too
	a.SetPath(3, ipsec.NATPath(outerA, outerA))
	a.SetPath(3, a.pairs[4].sa.Path)
	want(1500, 1) // for the path that no SA had taken, and not for the one in use
	for id := range a.pairs {
		a.RemoveSA(id)
	}
	link = 1370
	for id := ipsec.ChildID(1); id <= 10; id++ {
		if err := a.InstallInbound(childSA(t, a, a, id)); err != nil {
			t.Fatal(err)
		}
	}
	want(1370, 1) // nobody had asked since the last one went
}

// TestNudgeIsOnce: the control goroutine is woken once for any number of nudges, and none blocks.
func TestNudgeIsOnce(t *testing.T) {
	a := newGateway(t, 1, nil)
	for range 3 {
		a.nudge()
	}
	if <-a.kick; len(a.kick) != 0 {
		t.Error("it is woken twice")
	}
}

// TestNotices: what was noted is taken once, in its order.
func TestNotices(t *testing.T) {
	var n notices
	a, b := &pair{}, &pair{}
	n.add(a)
	n.add(b)
	if got := n.take(); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("%d were taken", len(got))
	}
	if got := n.take(); len(got) != 0 {
		t.Errorf("%d were taken again", len(got))
	}
}
