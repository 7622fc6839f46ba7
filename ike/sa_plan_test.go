package ike

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// sentAt returns when left sent requests of an exchange from now on, over a time in which nothing
// arrives, in milliseconds. Jitter is at most a tenth, so the last digits are cut.
func (p *testPair) sentAt(ex wire.ExchangeType, d time.Duration) (at []int) {
	begun := p.now
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == p.left && pk.msg != nil && pk.msg.hdr.Exchange == ex && !pk.msg.hdr.Response {
			at = append(at, int(p.now.Sub(begun).Milliseconds()))
		}
		return nil
	}
	p.drive(d)
	return at
}

// wantAt checks moments, each of which may be late by a tenth and the time of a computation.
func (p *testPair) wantAt(what string, got []int, want ...int) {
	p.t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = got[i] >= want[i] && got[i] <= want[i]*11/10+5
	}
	if !ok {
		p.fatalf("%s at %v ms, want about %v", what, got, want)
	}
}

// The peer's plan holds for its requests, its pauses for the tries to connect; a changed one holds
// at once.
func TestConfiguredRepetitions(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		peer := &p.left.peers[0]
		peer.Retransmit = window.RetransmitPlan{First: 200 * time.Millisecond, Factor: 2, Tries: 2}
		peer.Reconnect = timer.Backoff{First: 5 * time.Second, Max: 8 * time.Second}
		peer.Children[0].Start = StartBoot
	})
	// Each try takes 0.2 + 0.4 + 0.8 s; the pauses are 5, 8 and 8 s.
	p.wantAt("IKE_SA_INIT is sent", p.sentAt(wire.IKESAInit, 24*time.Second),
		0, 200, 600, 6400, 6600, 7000, 15800, 16000, 16400)
}

// A link that was cut comes back right after the last repetition of a try. The peer is not left
// unasked for that repetition's pause and then for the pause between tries: with the default plan
// that would be 37 s and a minute.
func TestNoAnswerIsNotWaitedForTwice(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	at := p.sentAt(wire.IKESAInit, 30*time.Minute)
	var longest int
	for i := 1; i < len(at); i++ {
		longest = max(longest, at[i]-at[i-1])
	}
	if longest < 60_000 || longest > 67_000 {
		p.fatalf("no request for %d ms, want a minute and up to a tenth", longest)
	}
}

// TestFirstAddressIsNotLeftForLong has a peer with several addresses, of which none answers, or the
// first answers IKE_SA_INIT alone. What is left of the time of a try there, and the tries at the
// other addresses, count in the pause: no address is left unasked for more than a minute and up to
// a tenth, or for as long as the others take. Nor is it tried again much earlier.
func TestFirstAddressIsNotLeftForLong(t *testing.T) {
	for _, c := range []struct {
		addresses int
		answers   bool // to IKE_SA_INIT, at the first address
		most      time.Duration
	}{{2, false, 67 * time.Second}, {4, false, 67 * time.Second}, {2, true, 67 * time.Second}, {8, false, 95 * time.Second}} {
		p := newPair(t, 1, func(p *testPair) {
			peer := &p.left.peers[0]
			peer.Children[0].Start = StartBoot
			for i := 1; i < c.addresses; i++ {
				peer.Remote = append(peer.Remote, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}))
			}
		})
		var last time.Time
		var most, least time.Duration
		p.link = func(pk *testPacket) []time.Duration {
			init := pk.msg.hdr.Exchange == wire.IKESAInit
			if pk.dst.Addr() == p.right.addrs[0] {
				if gap := p.now.Sub(last); p.now.Sub(epoch) > 10*time.Minute { // the pauses are the longest
					if most = max(most, gap); init && gap > 40*time.Second && (least == 0 || gap < least) {
						least = gap // before another try
					}
				}
				last = p.now
			}
			if init && c.answers {
				return steadyLink(10 * time.Millisecond)(pk)
			}
			return nil
		}
		p.drive(40 * time.Minute)
		if most < 59*time.Second || most > c.most || least < 59*time.Second {
			p.fatalf("%+v: no request for %v to %v", c, least, most)
		}
	}
}

// TestAuthIsBlockedAtOneAddress: IKE_SA_INIT is answered at the first address of a peer, IKE_AUTH
// is not, or late. The other address is tried after seconds. If nobody is there, the first one has
// more time in the next round.
func TestAuthIsBlockedAtOneAddress(t *testing.T) {
	for _, slow := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) {
			older(p)
			other := netip.MustParseAddr("192.0.2.3")
			if !slow {
				p.right.addrs = append(p.right.addrs, other)
			}
			p.left.peers[0].Remote = append(p.left.peers[0].Remote, other)
			p.left.peers[0].Children[0].Start, p.right.peers[0].Remote, p.right.peers[0].Local = StartBoot, nil, netip.Addr{}
		})
		link, within := p.link, 15*time.Second
		if slow {
			within = time.Minute
		}
		p.link = func(pk *testPacket) []time.Duration {
			switch {
			case pk.msg == nil || pk.msg.hdr.Exchange != wire.IKEAuth:
			case slow && pk.from == p.right:
				return []time.Duration{20 * time.Second}
			case !slow && pk.dst.Addr() == p.left.peers[0].Remote[0]:
				return nil
			}
			return link(pk)
		}
		p.waitFor(within, func() bool { return p.left.main() != nil })
		p.drive(time.Minute)
		p.wantTunnel()
	}
}

// Fields that are not set are those of the engine.
func TestPlanOfPeerAndEngine(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	s := p.left.main()
	s.party.cfg.Retransmit = window.RetransmitPlan{Tries: 3}
	if got, want := s.configuredPlan(), (window.RetransmitPlan{First: time.Second, Factor: 1.8, Tries: 3}); got != want {
		t.Errorf("plan %+v, want %+v", got, want)
	}
}

// How long a liveness check takes, by the DPD interval and the plan.
func TestLivenessPlans(t *testing.T) {
	for _, c := range []struct {
		dpd  time.Duration
		plan window.RetransmitPlan
		want string
	}{
		{30 * time.Second, window.RetransmitPlan{}, "4 after 22.37s"},
		{10 * time.Second, window.RetransmitPlan{}, "4 after 10s"},
		{time.Second, window.RetransmitPlan{}, "4 after 2s"},
		{0, window.RetransmitPlan{}, "4 after 22.37s"},
		{30 * time.Second, window.RetransmitPlan{First: time.Second, Factor: 2, Tries: 1}, "1 after 3s"},
	} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].DPD, p.left.peers[0].Retransmit = c.dpd, c.plan
		})
		p.up()
		s := p.left.main()
		s.live.probe()
		plan, took := s.plan(), time.Duration(0)
		for n := range plan.Tries + 1 {
			took += plan.Pause(n, zeros{})
		}
		if got := fmt.Sprintf("%d after %v", plan.Tries, took.Round(time.Millisecond)); got != c.want {
			t.Errorf("dpd %v, plan %+v: %s, want %s", c.dpd, c.plan, got, c.want)
		}
	}
}

// zeros reads zeros: no jitter.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// A tunnel that was lost just now is tried with short pauses at first, and with the configured ones
// after a failure.
func TestPromptPlan(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Children[0].Start = StartBoot })
	p.up()
	p.right.handle(Shutdown{})
	for len(p.left.plane.sas) > 0 {
		p.drive(10 * time.Millisecond)
	}
	at := p.sentAt(wire.IKESAInit, 2*time.Second)
	if len(at) < 6 || at[0] > 110 {
		p.fatalf("IKE_SA_INIT is sent at %v ms", at)
	}
	first := at[0]
	for i := range at {
		at[i] -= first
	}
	p.wantAt("repeated", at[1:6], 100, 250, 475, 812, 1318)
	party := p.left.e.peers.order[0].party
	newest := func() *ikeSA { return party.sas[len(party.sas)-1] }
	if got := newest().plan().Tries; got != 12 {
		p.fatalf("%d repetitions", got)
	}
	p.drive(42 * time.Second)
	if n := party.try.Fails; n != 1 {
		p.fatalf("%d failures", n)
	}
	p.drive(2 * time.Second)
	if got, want := newest().plan(), (window.RetransmitPlan{First: time.Second, Factor: 1.8, Tries: 6}); got != want {
		p.fatalf("the second try has the plan %+v", got)
	}
}
