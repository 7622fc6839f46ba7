package dataplane

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/dataplane/pmtu"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// TestSilence plays looks: i: packets came, o: packets were sent, b: both, -: none. After each
// script there is a silence to report or not.
func TestSilence(t *testing.T) {
	for script, want := range map[string]int{
		"bbbooo":         3 + 3,
		"bbboo":          0,
		"bbo":            0,
		"bbooooo":        0, // not usual yet
		"iiiooo":         3 + 3,
		"bbbooboo":       0, // an answer came
		"bbbooobbo":      6,
		"bbbo-o-o":       8, // a packet a second
		"bbb---o":        0, // the first packet after a pause
		"bbb---oib":      0,
		"bbb---ooo":      9,
		"oooooooo":       0, // nobody ever answers
		"bbbooooooooooo": 6, // reported once
		"bbbooobbbooo":   12,
	} {
		var s silence
		last := 0
		for i, c := range script {
			if silent, _ := s.look(c == 'i' || c == 'b', c == 'o' || c == 'b'); silent {
				last = i + 1
			}
		}
		if last != want {
			t.Errorf("%s: reported last at look %d, want %d", script, last, want)
		}
	}
}

// TestUnheard plays looks as TestSilence: that nothing comes is reported whether it is usual or
// not, and again after as many looks with packets.
func TestUnheard(t *testing.T) {
	o := strings.Repeat("o", unheardLooks)
	for script, want := range map[string][]int{
		o:                            {16},
		o[1:]:                        nil,
		o + o + o[1:]:                {16, 32},
		"bbb" + o:                    {19},
		o[1:] + "i" + o[1:]:          nil,
		o[1:] + "b" + o:              {32},
		strings.Repeat("o--", 16):    {46},
		strings.Repeat("ib", 99):     nil,
		strings.Repeat("-", 99):      nil,
		strings.Repeat("oooooob", 9): nil,
	} {
		var s silence
		var got []int
		for i, c := range script {
			if _, unheard := s.look(c == 'i' || c == 'b', c == 'o' || c == 'b'); unheard {
				got = append(got, i+1)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: reported at looks %v, want %v", script, got, want)
		}
	}
}

// TestUnheardSince plays looks: since when, and how many packets were sent since one came.
func TestUnheardSince(t *testing.T) {
	const first = int64(1000 * time.Second)
	var s silence
	now, total := first, uint64(0)
	look := func(in, out bool, sent uint64) Unheard {
		now, total = now+int64(silenceEvery), total+sent
		s.noteSent(in, out, now, total)
		return s.unheardOf(total + 1) // one more since the look
	}
	if u := look(true, true, 7); u != (Unheard{}) {
		t.Errorf("%+v while packets come", u)
	}
	if u := look(false, false, 0); u != (Unheard{}) {
		t.Errorf("%+v while nothing is sent", u)
	}
	since := time.Unix(0, now)
	if u := look(false, true, 5); u != (Unheard{since, 6}) {
		t.Errorf("%+v after 5 packets and one more", u)
	}
	if u := look(false, true, 2); u != (Unheard{since, 8}) {
		t.Errorf("%+v after 7 packets and one more", u)
	}
	if u := look(false, false, 0); u != (Unheard{since, 8}) {
		t.Errorf("%+v after a pause", u)
	}
	if u := s.unheardOf(6); u != (Unheard{Since: since}) {
		t.Errorf("%+v when a dummy was posted that is not sent yet", u)
	}
	if u := look(true, true, 1); u != (Unheard{}) {
		t.Errorf("%+v after an answer", u)
	}
}

// receive has a pair of the gateway, which is not started, receive a packet.
func (g *gateway) receive(c *pair, from *peer, next uint8) {
	var scratch esp.Scratch
	run := []esp.Packet{{Data: from.seal(next, udpPacket(dst4, src4, true, nil))}}
	if a := c.in.Open(&scratch, run); a.Authentic {
		c.lastIn.Store(g.clock.Load())
	}
}

// A policy whose pairs send and no longer receive is reported, by a pair that sends. What comes on
// any of its pairs counts, also on another path, and what comes on pairs of another policy does
// not, although these are on the same path.
func TestSilenceOfAPolicy(t *testing.T) {
	a := newGateway(t, 1, nil)
	now := time.Unix(1000, 0)
	a.clock.Store(now.UnixNano())
	peers := map[ipsec.ChildID]*peer{}
	for id := ipsec.ChildID(1); id <= 3; id++ {
		sa := childSA(t, a, a, id)
		sa.KeyIn, sa.KeyOut = key(byte(10*id)), key(byte(10*id+1))
		switch id {
		case 1:
			sa.Path = ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.3:4500"))
		case 3:
			sa.Policy = spare
		}
		peers[id] = newPeer(t, sa)
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		if id != 1 {
			a.ActivateOutbound(id)
		}
	}
	a.stir([]*pair{a.pairs[1], a.pairs[2]})
	look := func(in, out []ipsec.ChildID) {
		now = now.Add(silenceEvery)
		for _, id := range in {
			a.receive(a.pairs[id], peers[id], esp.NextIPv4)
		}
		for _, id := range out {
			a.pairs[id].lastOut.Store(now.UnixNano() - int64(silenceEvery)/2)
		}
		a.lookForSilence(now)
	}
	ids := func(list ...ipsec.ChildID) []ipsec.ChildID { return list }
	for range 5 {
		look(ids(1, 3), ids(2, 3))
	}
	if e := a.Drain(); len(e) != 0 {
		t.Fatalf("events %+v while packets come", e)
	}
	for range 2 {
		look(ids(3), ids(2, 3))
	}
	if e := a.Drain(); len(e) != 0 {
		t.Fatalf("events %+v too early", e)
	}
	look(ids(3), ids(2, 3))
	if e := a.Drain(); len(e) != 1 || e[0] != (ipsec.Event{Kind: ipsec.EventUnanswered, ID: 2}) {
		t.Fatalf("events %+v, want that pair 2 is not answered", e)
	}
	a.wantCounter(t, "sa_unanswered", 1)
	for range 9 {
		look(ids(3), ids(2, 3))
	}
	if e := a.Drain(); len(e) != 0 {
		t.Fatalf("events %+v: it is reported again", e)
	}
	for range 3 {
		look(nil, ids(2, 3))
	}
	if e := a.Drain(); len(e) != 1 || e[0].ID != 3 {
		t.Fatalf("events %+v, want that pair 3 is not answered", e)
	}
	for range 1 {
		look(nil, ids(2))
	}
	if e := a.Drain(); len(e) != 1 || e[0] != (ipsec.Event{Kind: ipsec.EventUnheard, ID: 2}) {
		t.Fatalf("events %+v, want that nothing comes", e)
	}
	a.wantCounter(t, "sa_unheard", 1)
	if st, _ := a.PolicyStats(lan); st.Unheard.Packets != 0 || st.Unheard.Since.After(now) || now.Sub(st.Unheard.Since) < 7*time.Second {
		t.Errorf("unheard: %+v at %v", st.Unheard, now)
	}
	// A packet is noted late by a coarse clock.
	for range 3 {
		look(ids(1), ids(2))
	}
	for range 2 {
		look(nil, ids(2))
	}
	a.pairs[2].lastOut.Store(now.UnixNano() - int64(silenceLag)/2)
	look(nil, nil)
	if e := a.Drain(); len(e) != 1 || e[0].Kind != ipsec.EventUnanswered {
		t.Fatalf("events %+v, although packets were sent", e)
	}
}

// A peer that receives nothing may go on to send dummy packets, and probes above all: these are no
// answers. An answer to a probe is one.
func TestSilenceBehindDummies(t *testing.T) {
	for name, c := range map[string]struct {
		kind   uint8 // of the dummy packets; 0: not a culvert's
		silent bool
	}{"dummies": {0, true}, "probes": {dummyRequest, true}, "answers to probes": {dummyAnswer, false}} {
		t.Run(name, func(t *testing.T) {
			a := newGateway(t, 1, nil)
			sa := childSA(t, a, a, 1)
			if err := a.InstallInbound(sa); err != nil {
				t.Fatal(err)
			}
			a.ActivateOutbound(1)
			from, sent := newPeer(t, sa), a.pairs[1]
			a.stir([]*pair{sent})
			for i := range usualLooks + silentLooks {
				a.clock.Add(int64(silenceEvery))
				sent.lastOut.Store(a.clock.Load())
				if i < usualLooks {
					a.receive(sent, from, esp.NextIPv4)
				} else {
					a.receive(sent, from, esp.NextDummy)
				}
				if i >= usualLooks && c.kind != 0 {
					a.takeDummy(receivedDummy{sent, dummy{kind: c.kind}})
				}
				a.lookForSilence(time.Unix(0, a.clock.Load()))
			}
			a.wantCounter(t, "sa_unanswered", map[bool]uint64{true: 1}[c.silent])
		})
	}
}

// That the peer probes is reported once a second for each policy, but not where it asks for an MTU.
// Only an answer to a probe of ours shows that something has arrived.
func TestPeerProbes(t *testing.T) {
	a := newGateway(t, 1, nil)
	a.clock.Store(time.Unix(1000, 0).UnixNano())
	for id := ipsec.ChildID(1); id <= 2; id++ {
		sa := childSA(t, a, a, id)
		sa.Policy = []ipsec.PolicyID{lan, spare}[id-1]
		if err := a.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
	}
	probed := func(id ipsec.ChildID, d dummy, want ...ipsec.Event) {
		t.Helper()
		a.takeDummy(receivedDummy{a.pairs[id], d})
		if e := a.Drain(); !slices.Equal(e, want) {
			t.Errorf("events %+v, want %+v", e, want)
		}
	}
	answered := func(want ...time.Time) {
		t.Helper()
		for i, at := range want {
			if last, ok := a.LastTraffic(ipsec.ChildID(i + 1)); !ok || last != (ipsec.Traffic{Answered: at}) {
				t.Errorf("traffic %+v of %d, want an answer at %v", last, i+1, at)
			}
		}
	}
	request := dummy{kind: dummyRequest}
	probed(1, dummy{kind: dummyRequest, probe: pmtu.Probe{Size: 1500, ID: 1}})
	answered(time.Time{}, time.Time{})
	probed(1, dummy{kind: dummyAnswer})
	answered(time.Unix(1000, 0), time.Time{})
	probed(1, request, ipsec.Event{Kind: ipsec.EventProbed, ID: 1})
	probed(1, request)
	probed(2, request, ipsec.Event{Kind: ipsec.EventProbed, ID: 2})
	a.clock.Add(int64(time.Second))
	probed(1, request, ipsec.Event{Kind: ipsec.EventProbed, ID: 1})
}

// The control goroutine looks.
func TestSilenceIsLookedFor(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	for a.Counters()["sa_unanswered"] == 0 {
		a.queues[0].inject(udpPacket(src4, dst4, true, nil))
		b.queues[0].want(t)
		if a.looks() < usualLooks {
			b.queues[0].inject(udpPacket(dst4, src4, true, nil))
			a.queues[0].want(t)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if e := a.wantEvent(t, ipsec.EventUnanswered); e.ID != 1 {
		t.Errorf("event %+v", e)
	}
}

// looks returns at how many looks packets had come for the policy of pair 1.
func (g *gateway) looks() uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.slots[g.pairs[1].sa.Policy].silence.answered
}

// 10,000 tunnels in use cost a look less than 5 ms.
func BenchmarkLookForSilence(b *testing.B) {
	a := newGateway(b, 1, nil)
	for i := range 10000 {
		c := &pair{active: true, in: new(esp.Inbound)}
		c.sa.Policy = ipsec.PolicyID(i + 1)
		c.lastOut.Store(int64(i))
		a.slotOf(c.sa.Policy).join(c)
		a.paths.due.Push(&path{outer: ipsec.NATPath(outerA, outerB), checkAt: 1, pairs: []*pair{c}})
	}
	b.ReportAllocs()
	for b.Loop() {
		a.lookForSilence(time.Unix(1000, 0))
	}
}
