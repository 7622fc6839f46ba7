package dataplane

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

func TestBlackHoleIsFoundByProbes(t *testing.T) {
	for name, outer := range map[string]ipsec.Path{
		"UDP over IPv4":         ipsec.NATPath(outerA, outerB),
		"protocol 50 over IPv4": ipsec.RawPath(outerA.Addr(), outerB.Addr()),
		"UDP over IPv6":         ipsec.NATPath(netip.MustParseAddrPort("[2001:db8::1]:4500"), netip.MustParseAddrPort("[2001:db8::2]:4500")),
	} {
		t.Run(name, func(t *testing.T) {
			a, b, path := probing(t, 1400, nil)
			sa := childSA(t, a, b, 1)
			sa.Path = outer
			install(t, a, b, sa)
			eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_probes"] == 2 })
			a.settle(t, path)
			want := gcmFormat.InnerMTU(1400, outer.Is6(), outer.Encapsulated())
			a.pass(t, path, 15)
			a.wantMTU(t, 1, want)
			b.wantMTU(t, 1, gcmFormat.InnerMTU(1500, outer.Is6(), outer.Encapsulated())) // the way back is wide
			if n := a.Counters()["pmtu_black_holes"]; n != 1 {
				t.Errorf("%d black holes", n)
			}
			// What is in force is what senders are told, and what passes.
			big := udpPacket(src4, dst4, true, make([]byte, 1500-28))
			a.queues[0].inject(big)
			if _, _, mtu := checkICMP(t, a.queues[0].want(t), big); mtu != want {
				t.Errorf("ICMP says %d, want %d", mtu, want)
			}
			a.queues[0].inject(udpPacket(src4, dst4, true, make([]byte, want-28)))
			if got := b.queues[0].want(t); len(got) != want {
				t.Errorf("%d octets came", len(got))
			}
			if st, _ := a.ChildStats(1); st.PacketsIn != 0 || st.Drops["dummy"] != 0 {
				t.Errorf("probes are counted as traffic: %+v", st)
			}
		})
	}
}

// A path that carries nothing is probed once; one that does is, from time to time.
func TestProbesFollowTraffic(t *testing.T) {
	a, b, path := probing(t, 1500, nil)
	install(t, a, b, childSA(t, a, b, 1))
	eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_probes"] == 2 })
	a.settle(t, path)
	a.pass(t, path, 600)
	a.wantCounter(t, "pmtu_probes", 2)
	st, _ := a.ChildStats(1)
	if !st.LastOut.IsZero() {
		t.Error("a probe counts as traffic: the peer would be asked whether it lives")
	}
	data := func(n int) []byte {
		pkt := udpPacket(src4, dst4, true, make([]byte, n))
		pkt[1] = 0x10
		return pkt
	}
	send := func(n int) {
		a.queues[0].inject(data(n))
		b.queues[0].want(t)
		a.noticesUse(t, 1)
	}
	send(10)
	a.pass(t, path, 10)
	a.wantCounter(t, "pmtu_probes", 4) // the confirmation was ten minutes old
	send(1000)
	a.pass(t, path, 3)
	a.wantCounter(t, "pmtu_probes", 6)
	path.mtu.Store(1300)
	for sent := uint64(1); a.Counters()["out_too_big"] == 0; sent++ {
		if sent > 12 {
			t.Fatal("after twelve seconds nothing is found")
		}
		a.queues[0].inject(data(1400 - 28))
		eventually(t, "the packet is lost, or too big", func() bool { return path.data.Load()+a.Counters()["out_too_big"] == sent })
		if path.data.Load() == sent {
			a.noticesUse(t, 1)
		}
		a.pass(t, path, 1)
	}
	a.pass(t, path, 10)
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1300, false, true))
}

// A peer that knows no probes discards them, and nothing changes.
func TestPeerThatAnswersNoProbes(t *testing.T) {
	a, b, path := probing(t, 1400, nil)
	b.cfg.Probe = false
	install(t, a, b, childSA(t, a, b, 1))
	for i := range 60 {
		a.clock.Add(int64(time.Second))
		a.searchPaths()
		if i == 10 {
			a.wantCounter(t, "pmtu_probes", 6)
		}
	}
	a.wantCounter(t, "pmtu_probes", 6)
	a.wantCounter(t, "pmtu_answers", 0)
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1500, false, true))
	_ = path
}

// Very many SAs that come up at once do not cause a flood of probes.
func TestProbesHaveABudget(t *testing.T) {
	b := &budget{}
	now := time.Unix(1000, 0)
	sent := 0
	for range 10 * 1000 {
		for b.fill(now) == 0 {
			b.left -= 2
			sent += 2
		}
		now = now.Add(time.Millisecond)
	}
	if least, most := 9*probesPerSecond, 10*probesPerSecond+probeBurst+2; sent < least || sent > most {
		t.Errorf("%d probes in ten seconds, want %d to %d", sent, least, most)
	}
	b.fill(now)
	b.left = 0
	if wait := b.fill(now); wait <= 0 || wait > time.Second/probesPerSecond {
		t.Errorf("the next probe in %v", wait)
	}
	b.fill(now.Add(-time.Hour)) // a clock that is set back
	if b.left < 0 || b.left > probeBurst {
		t.Errorf("%v left", b.left)
	}
}

// A stream carries packets of any size: nothing is probed for, and only the configuration bounds
// what is sealed.
func TestStreamIsNotProbed(t *testing.T) {
	via := &ipsec.Transport{Name: "stream", CarriesESP: true, Stream: true}
	for name, ceiling := range map[string]int{"the first hop": 0, "the configuration": 1300} {
		t.Run(name, func(t *testing.T) {
			a, b, path := probing(t, 1500, nil)
			if ceiling > 0 {
				a.setCeiling(t, ceiling)
			}
			sa := childSA(t, a, b, 1)
			sa.Path = ipsec.NewPath(via, outerA, outerB, 0)
			install(t, a, b, sa)
			a.wantMTU(t, 1, map[int]int{0: gcmFormat.InnerMTU(1500, false, true), 1300: 1300}[ceiling])
			a.pass(t, path, 60)
			inner := udpPacket(src4, dst4, true, random(1000))
			a.queues[0].inject(inner)
			if got := b.queues[0].want(t); !bytes.Equal(got, inner) {
				t.Errorf("got %d octets, want %d", len(got), len(inner))
			}
			if n := a.Counters()["pmtu_probes"]; n != 0 {
				t.Errorf("%d probes", n)
			}
		})
	}
}
