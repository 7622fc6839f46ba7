package dataplane

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// asking is a gateway whose peer answers no probes, with traffic, until IKE is asked.
func asking(t *testing.T) (a *gateway, pass func(seconds int)) {
	t.Helper()
	a, b, path := probing(t, 1400, func(c *Config) { c.AskIKE = true })
	b.cfg.Probe = false
	install(t, a, b, childSA(t, a, b, 1))
	for a.Counters()["pmtu_probes"] < 6 {
		a.clock.Add(int64(time.Second))
		a.searchPaths()
	}
	sent := path.data.Load() + a.Counters()["out_too_big"]
	pass = func(seconds int) {
		t.Helper()
		for range seconds {
			pkt := udpPacket(src4, dst4, true, make([]byte, 1400-28))
			pkt[1] = 0x10
			a.queues[0].inject(pkt)
			sent++
			eventually(t, "the packet is lost, or too big", func() bool { return path.data.Load()+a.Counters()["out_too_big"] == sent })
			if a.Counters()["out_too_big"] == 0 {
				a.noticesUse(t, 1)
			}
			a.clock.Add(int64(time.Second))
			a.searchPaths()
		}
	}
	return a, pass
}

// Of a peer that answers no probes IKE is asked, size by size, and what it says is in force.
func TestBlackHoleIsFoundByIKE(t *testing.T) {
	a, pass := asking(t)
	pass(4)
	e := a.wantEvent(t, ipsec.EventProbePath)
	if e.ID != 1 || e.Size != 1500 {
		t.Fatalf("asked %+v", e)
	}
	pass(4)
	a.wantNoEvent(t) // one at a time
	var sizes []int
	for size := e.Size; ; {
		sizes = append(sizes, size)
		v := ipsec.PathPassed
		if size > 1400 {
			v = ipsec.PathLost
		}
		a.PathProbed(ipsec.PathProbe{ID: 1, Size: size, Sent: size, Verdict: v})
		a.searchPaths()
		got := a.Drain()
		if len(got) == 0 {
			break
		}
		size = got[0].Size
	}
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1400, false, true))
	if n := uint64(len(sizes)); n > 8 || sizes[1] != 1280 {
		t.Errorf("asked %v", sizes)
	} else {
		a.wantCounter(t, "pmtu_ike_probes", n)
		a.wantCounter(t, "pmtu_black_holes", 1)
	}
}

// Answers about an SA that is gone, or to what was not asked, change nothing.
func TestAnswersOfIKEThatAreNone(t *testing.T) {
	a, pass := asking(t)
	pass(4)
	e := a.wantEvent(t, ipsec.EventProbePath)
	a.PathProbed(ipsec.PathProbe{ID: 9, Size: e.Size, Sent: e.Size, Verdict: ipsec.PathLost})
	a.PathProbed(ipsec.PathProbe{ID: 1, Size: 1400, Sent: 1400, Verdict: ipsec.PathPassed})
	a.PathProbed(ipsec.PathProbe{ID: 1, Size: e.Size, Verdict: ipsec.PathUnknown})
	pass(4)
	a.wantNoEvent(t)
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1500, false, true))
}

// A plane that may not ask does not, and neither does one whose peer answers probes.
func TestIKEIsNotAsked(t *testing.T) {
	a, b, path := probing(t, 1400, func(c *Config) { c.AskIKE = true })
	install(t, a, b, childSA(t, a, b, 1))
	a.pass(t, path, 30)
	a.wantCounter(t, "pmtu_ike_probes", 0)
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1400, false, true))
}
