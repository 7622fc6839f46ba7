package ike

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/selector"
)

// perPair returns two sides with the same two networks each, of both families if mixed. The left
// one's children are for single pairs.
func perPair(t *testing.T, mixed bool, edit func(l, r *Child)) *testPair {
	return newPair(t, 1, func(p *testPair) {
		l, r := &p.left.peers[0].Children[0], &p.right.peers[0].Children[0]
		l.Local, l.Remote = testNetworks("10.1.0.0/24", "10.1.8.0/24"), testNetworks("10.2.0.0/24", "10.2.8.0/24")
		if mixed {
			l.Local, l.Remote = testNetworks("10.1.0.0/24", "2001:db8:1::/48"), testNetworks("10.2.0.0/24", "2001:db8:2::/48")
		}
		r.Local, r.Remote = l.Remote, l.Local
		l.Children = ChildrenPerPair
		edit(l, r)
	})
}

// pairs lists what a side's Child SAs carry, sorted.
func (s *testSide) pairs() []string {
	var list []string
	for _, psa := range s.plane.ofPolicy(s.policy("lan")) {
		list = append(list, fmt.Sprintf("%v %v", psa.sa.LocalTS, psa.sa.RemoteTS))
	}
	slices.Sort(list)
	return list
}

// wantSingly checks that both sides have one Child SA for each of n pairs of networks, and send on
// each.
func (p *testPair) wantSingly(what string, n int) {
	p.t.Helper()
	for _, s := range p.sides() {
		list := s.pairs()
		if len(list) != n || len(slices.Compact(list)) != n {
			p.fatalf("%s: %s has %d SAs, want %d: %q", what, s.name, len(list), n, list)
		}
		for _, psa := range s.plane.ofPolicy(s.policy("lan")) {
			if len(psa.sa.LocalTS) != 1 || len(psa.sa.RemoteTS) != 1 || !psa.sends {
				p.fatalf("%s: %s has %v with %v, sends: %v", what, s.name, psa.sa.LocalTS, psa.sa.RemoteTS, psa.sends)
			}
			s.plane.sendOn(psa)
		}
	}
	p.drive(testRTT)
	p.wantNoLoss()
	p.wantSound()
}

// selectorsAsked returns the numbers of selectors of the requests for Child SAs that a side sends.
func (p *testPair) selectorsAsked(s *testSide) *[]string {
	asked, link := &[]string{}, p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.from == s && pk.msg != nil && !pk.msg.hdr.Response && !pk.msg.repeat {
			if tsi, ok := wire.FindTS(pk.msg.payloads, false); ok {
				tsr, _ := wire.FindTS(pk.msg.payloads, true)
				*asked = append(*asked, fmt.Sprintf("%d+%d", len(tsi.Selectors), len(tsr.Selectors)))
			}
		}
		return link(pk)
	}
	return asked
}

// TestPerPairByTraffic: with children = "per-pair" each packet asks for the pair of networks that
// it needs, by one selector on each side, also of a peer that would grant all, and in IKE_AUTH as
// well. Nothing is said of networks that were not asked for, nor is narrow = "peer" about them.
func TestPerPairByTraffic(t *testing.T) {
	for _, mode := range []NarrowMode{NarrowTraffic, NarrowPeer} {
		p := perPair(t, false, func(l, _ *Child) { l.Narrow = mode })
		asked := p.selectorsAsked(p.left)
		for i, dst := range []string{"10.2.8.9", "10.2.0.9"} {
			p.left.sendTo("lan", dst)
			p.drive(3 * time.Second)
			p.wantSingly(dst, i+1)
			flow := p.left.flowTo("lan", dst)
			if p.left.carrier("lan", flow) == nil {
				t.Fatalf("nothing carries %s", dst)
			}
		}
		if want := []string{"1+1", "1+1"}; !slices.Equal(*asked, want) {
			t.Errorf("asked by %v selectors, want %v", *asked, want)
		}
		if st := p.left.e.Status()[0].Children[0]; st.Narrow || p.left.narrowed() != 0 {
			t.Errorf("narrow: %v, %d notices", st.Narrow, p.left.narrowed())
		}
		if n := p.left.failed[p.left.policy("lan")]; n != 0 {
			t.Errorf("%d packets are answered that nothing comes", n)
		}
	}
}

// TestPerPairAtBoot: a child that should always be up has all pairs, whatever the families, also
// after rekeyings, reauthentications and lifetimes without a packet.
func TestPerPairAtBoot(t *testing.T) {
	for mixed, n := range map[bool]int{false: 4, true: 2} {
		p := perPair(t, mixed, func(l, r *Child) { l.Start, l.Lifetime, r.Lifetime = StartBoot, 5*time.Minute, 5*time.Minute })
		p.left.peers[0].AuthLifetime = 30 * time.Minute
		p.left.reload(p.left.peers[0], false)
		p.drive(3 * time.Second)
		p.wantSingly("at boot", n)
		for _, s := range p.sides() {
			ref := s.rekey("lan")
			p.drive(10 * time.Second)
			p.wantDone(s, ref, "")
			p.wantSingly("rekeyed", n)
		}
		quiet := func() { // no rekeying is under way
			for range 30 {
				if len(p.left.pairs()) != n || len(p.right.pairs()) != n {
					p.drive(time.Second)
				}
			}
		}
		p.drive(12 * time.Minute)
		quiet()
		p.wantSingly("unused for two lifetimes", n)
		p.drive(25 * time.Minute)
		quiet()
		p.wantSingly("authenticated again", n)
		if got := p.left.requests(wire.IKESAInit); got < 2 {
			t.Errorf("%d IKE SAs", got)
		}
	}
}

// TestPerPairOfBoth: where both sides ask for all pairs at the same time, each pair has one Child
// SA in the end.
func TestPerPairOfBoth(t *testing.T) {
	p := perPair(t, false, func(l, r *Child) {
		l.Start, r.Start, r.Children = StartBoot, StartBoot, ChildrenPerPair
	})
	p.drive(3 * time.Minute)
	p.wantSingly("of both", 4)
}

// TestPerPairCrossing: both sides ask for the same pair beside the first one, in requests that
// cross.
func TestPerPairCrossing(t *testing.T) {
	p := perPair(t, false, func(_, r *Child) { r.Children = ChildrenPerPair })
	p.left.sendTo("lan", "10.2.0.9")
	p.drive(3 * time.Second)
	p.left.sendTo("lan", "10.2.8.9")
	p.right.handle(Acquire{Policy: p.right.policy("lan"), Flow: p.left.flowTo("lan", "10.2.8.9").Reverse()})
	p.drive(time.Minute)
	if p.right.sentRequests[wire.CreateChildSA] != 1 || p.creates() != 1 {
		t.Errorf("%d and %d requests, want one each", p.creates(), p.right.sentRequests[wire.CreateChildSA])
	}
	p.wantSingly("crossing", 2)
}

// TestPerPairGrants: a responder with children = "per-pair" grants one pair of a request for all,
// that of the packet, and says that others are possible. The initiator gets them when it asks.
func TestPerPairGrants(t *testing.T) {
	p := perPair(t, false, func(l, r *Child) { l.Children, r.Children = ChildrenOne, ChildrenPerPair })
	said := 0
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.msg.hdr.Response && pk.from == p.right {
			if _, ok := wire.FindNotify(pk.msg.payloads, wire.AdditionalTSPossible); ok {
				said++
			}
		}
		return link(pk)
	}
	for i, dst := range []string{"10.2.8.9", "10.2.0.9"} {
		p.left.sendTo("lan", dst)
		p.drive(3 * time.Second)
		p.wantSingly(dst, i+1)
		if p.left.carrier("lan", p.left.flowTo("lan", dst)) == nil {
			t.Fatalf("nothing carries %s", dst)
		}
	}
	if said != 2 {
		t.Errorf("said %d times that others are possible, want 2", said)
	}
}

// TestPerPairDeleted: a pair that the peer deletes is made again after a pause, if it should always
// be up.
func TestPerPairDeleted(t *testing.T) {
	p := perPair(t, false, func(l, _ *Child) { l.Start = StartBoot })
	p.drive(3 * time.Second)
	p.wantSingly("at boot", 4)
	q := p.right.e.peers.order[0].party.policies[0].Parts()[1].Best()
	before := p.creates()
	p.right.e.handling.now = p.now
	q.Delete(0, "a test")
	p.right.handle(Wake{})
	p.drive(time.Second)
	if p.creates() != before {
		t.Error("asked for at once")
	}
	p.drive(10 * time.Second)
	p.wantSingly("again", 4)
	if n := p.creates() - before; n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

// TestPerPairRefused: a pair that the peer refuses does not keep others from coming up, and is
// asked for again after pauses that become longer.
func TestPerPairRefused(t *testing.T) {
	p := perPair(t, false, func(l, r *Child) { l.Start = StartBoot; r.Local = r.Local[:1] })
	p.drive(3 * time.Second)
	if n := len(p.left.pairs()); n != 2 {
		t.Fatalf("%d SAs: %q", n, p.left.pairs())
	}
	before := p.creates()
	p.drive(10 * time.Minute)
	if n := p.creates() - before; n < 10 || n > 60 {
		t.Errorf("%d requests in 10 minutes", n)
	}
	more := p.right.peers[0]
	c := testChild(p.right, "more", 2)
	c.Local, c.Remote = testNetworks("10.2.8.0/24"), p.right.peers[0].Children[0].Remote
	more.Children = append(slices.Clone(more.Children), c)
	p.right.reload(more, false)
	p.drive(3 * time.Minute)
	if n := len(p.left.pairs()); n != 4 {
		t.Errorf("%d SAs: %q", n, p.left.pairs())
	}
}

// singlePairOnly has right refuse requests by SINGLE_PAIR_REQUIRED that have several selectors, or
// anything but single addresses.
func singlePairOnly(p *testPair, addresses bool) {
	refuseWhere(p, func(m *testMessage) (*wire.Notify, bool) {
		several := false
		for _, responder := range []bool{false, true} {
			ts, ok := wire.FindTS(m.payloads, responder)
			several = several || ok && (len(ts.Selectors) > 1 || addresses && ts.Selectors[0].Start != ts.Selectors[0].End)
		}
		return &wire.Notify{Kind: wire.SinglePairRequired}, several
	})
}

// TestSinglePairRequired: a peer that answers SINGLE_PAIR_REQUIRED is asked at once for a single
// pair: of networks, and if that is not enough, of the packet's addresses. This is said, the packet
// is not dropped, and later requests, rekeyings among them, are like it from the start.
func TestSinglePairRequired(t *testing.T) {
	for _, addresses := range []bool{false, true} {
		p := perPair(t, false, func(l, _ *Child) { l.Children = ChildrenOne })
		second := testChild(p.left, "other", 9)
		second.Start = StartBoot
		for _, s := range p.sides() {
			c := testChild(s, "other", 9)
			peer := s.peers[0]
			peer.Children = append([]Child{c}, peer.Children...)
			s.reload(peer, false)
		}
		p.left.connect("other")
		p.drive(3 * time.Second)
		singlePairOnly(p, addresses)
		asked := p.selectorsAsked(p.left)
		p.left.sendTo("lan", "10.2.8.9")
		p.drive(2 * time.Second)
		want := []string{"3+3", "1+1"}
		if addresses {
			want = append(want, "1+1")
		}
		if !slices.Equal(*asked, want) {
			t.Errorf("asked by %v selectors, want %v", *asked, want)
		}
		if n := p.left.failed[p.left.policy("lan")]; n != 0 {
			t.Errorf("%d packets are answered that nothing comes", n)
		}
		p.wantSingly("the first", 1)
		if text := p.wantNotice(p.left, "single-pair").Text; strings.Contains(text, "addresses") != addresses {
			t.Errorf("said: %s", text)
		}
		p.left.sendTo("lan", "10.2.0.9")
		p.drive(2 * time.Second)
		p.wantSingly("the second", 2)
		for _, s := range p.sides() {
			ref := s.rekey("lan")
			p.drive(10 * time.Second)
			p.wantDone(s, ref, "")
		}
		p.wantSingly("rekeyed", 2)
		if got := (*asked)[len(want):]; slices.ContainsFunc(got, func(s string) bool { return s != "1+1" }) {
			t.Errorf("later asked by %v", got)
		}
		host := p.left.plane.ofPolicy(p.left.policy("lan"))[0].sa.RemoteTS[0]
		if (host.Start == host.End) != addresses {
			t.Errorf("remote %v", host)
		}
	}
}

// TestSinglePairRequiredInAuth: the refusal comes in IKE_AUTH, whose IKE SA stays. The pair is
// asked for on it.
func TestSinglePairRequiredInAuth(t *testing.T) {
	a := newAttack(perPair(t, false, func(l, _ *Child) { l.Children = ChildrenOne }))
	a.script(true)
	a.left.sendTo("lan", "10.2.8.9")
	a.deliver(a.wantSend("left asks", a.left, wire.IKESAInit, false, "..."))
	a.deliver(a.wantSend("right answers", a.right, wire.IKESAInit, true, "..."))
	a.deliver(a.wantSend("left authenticates", a.left, wire.IKEAuth, false, "..."))
	m := a.wantSend("right answers, which is lost", a.right, wire.IKEAuth, true, "IDr, AUTH, ...")
	keys := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}]
	ps := append(slices.Clone(m.payloads[:2]), &wire.Notify{Kind: wire.SinglePairRequired})
	a.inject(a.left, a.right.home(), a.seal(keys, m.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
	m = a.wantSend("left asks for less", a.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr")
	ts, _ := wire.FindTS(m.payloads, true)
	if got := selectorsOf(ts); !slices.Equal(got, testNetworks("10.2.8.0/24")) {
		t.Errorf("left asks for %v", got)
	}
	a.script(false)
	a.deliver(m)
	a.drive(time.Second)
	if a.left.carrier("lan", a.left.flowTo("lan", "10.2.8.9")) == nil || a.left.failed[a.left.policy("lan")] != 0 {
		a.fatalf("the packet is not sent")
	}
}

// TestSinglePairWithoutPacket: a child that comes up without a packet has no addresses to ask for.
// It says so, and comes up with the first packet.
func TestSinglePairWithoutPacket(t *testing.T) {
	p := perPair(t, false, func(l, _ *Child) {})
	for _, s := range p.sides() {
		peer := s.peers[0]
		peer.Children = append([]Child{testChild(s, "other", 9)}, peer.Children...)
		s.reload(peer, false)
	}
	p.left.connect("other")
	p.drive(3 * time.Second)
	singlePairOnly(p, true)
	ref := p.left.connect("lan")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "SINGLE_PAIR_REQUIRED to CREATE_CHILD_SA: it makes a Child SA for a single pair of addresses only, those of a packet")
	p.drive(time.Minute)
	p.left.sendTo("lan", "10.2.8.9")
	p.drive(time.Second)
	if psa := p.left.carrier("lan", p.left.flowTo("lan", "10.2.8.9")); psa == nil || !slices.Equal(psa.sa.RemoteTS, []selector.Selector{selector.FromAddr(p.left.flowTo("lan", "10.2.8.9").Dst)}) {
		t.Errorf("sent on %+v", psa)
	}
}
