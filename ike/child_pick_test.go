package ike

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// manySelectors returns a peer's IKE SA with a number of children for all networks, and 255
// selectors that have nothing in common.
func manySelectors(tb testing.TB, children int) (*testPair, *ikeSA, []selector.Selector) {
	all := selector.All(false)
	p := newPair(tb, 1, func(p *testPair) {
		for n := 1; n < children; n++ {
			c := p.right.peers[0].Children[0]
			c.Name = fmt.Sprintf("c%d", n)
			c.Local, c.Remote = []selector.Selector{all}, []selector.Selector{all}
			p.right.peers[0].Children = append(p.right.peers[0].Children, c)
		}
	})
	p.left.connect("lan")
	p.drive(2 * time.Second)
	list := payloadOf(tb, func(i int) string { return fmt.Sprintf("172.%d.%d.0/25", 16+i>>7, i&127) })
	s := p.right.e.peers.order[0].party.main()
	s.e.handling = handling{now: p.now, fx: &Effects{}}
	return p, s, list
}

// payloadOf returns as many selectors as a payload holds, by their numbers.
func payloadOf(tb testing.TB, text func(i int) string) (list []selector.Selector) {
	for i := range selector.MaxSelectors {
		s, err := selector.ParseSelector(text(i))
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// offered returns the ESP proposals of a request that we agree to.
func offered(s *ikeSA) (list []wire.Proposal) {
	for i, p := range s.party.policies[0].Settings.Proposals {
		p.Number, p.SPI = uint8(i+1), []byte{1, 2, 3, 4}
		list = append(list, p)
	}
	return list
}

// TestSelectorsOfManyChildren: one request may have as many selectors as a payload holds, however
// many children it overlaps with. That is half of the comparisons that it may cost.
func TestSelectorsOfManyChildren(t *testing.T) {
	for _, children := range []int{2, 100, 256} {
		_, s, list := manySelectors(t, children)
		theirs := offered(s)
		pick, err := s.party.pickPolicy(&childRequest{proposals: theirs, local: list, remote: list, create: true})
		if err != nil || len(pick.local) != len(list) || len(pick.remote) != len(list) {
			t.Errorf("%d children: %d and %d selectors, %v", children, len(pick.local), len(pick.remote), err)
		}
		w := selector.NewWork(maxSelectorWork * 9 / 16)
		p := selector.Prepare(list)
		for _, pol := range s.party.policies {
			if p.Overlaps(pol.Settings.Local, w) && p.Overlaps(pol.Settings.Remote, w) {
				rankSelectors(pol, p, p, w)
			}
		}
		if !w.Left() {
			t.Errorf("%d children take more than half of the comparisons", children)
		}
	}
}

// TestTooManySelectors: a request that is too costly to compare is refused.
func TestTooManySelectors(t *testing.T) {
	_, s, list := manySelectors(t, 2)
	apart := slices.Repeat([]selector.Selector{selector.All(true)}, 255)
	for _, pol := range s.party.policies {
		pol.Settings.Local = apart
	}
	for len(s.party.policies) < 256 {
		s.party.policies = append(s.party.policies, s.party.policies[1])
	}
	var refusal *notifyError
	if _, err := s.party.pickPolicy(&childRequest{proposals: offered(s), local: list, remote: list, create: true}); !errors.As(err, &refusal) || refusal.notify.Kind != wire.TSUnacceptable || !strings.Contains(refusal.text, "too many") {
		t.Errorf("got %v", err)
	}
	if _, err := s.party.pickPolicy(&childRequest{proposals: offered(s), local: list[:3], remote: list[:3], create: true}); !errors.As(err, &refusal) || strings.Contains(refusal.text, "too many") {
		t.Errorf("three selectors: %v, want that none overlaps", err)
	}
}

// TestProposalsOfManyChildren: the peer's proposals are compared with a few of ours, and not once
// more for each child.
func TestProposalsOfManyChildren(t *testing.T) {
	for different, want := range map[int]bool{0: true, maxChoices - 2: true, maxChoices - 1: false} {
		_, s, list := manySelectors(t, 100)
		for i, pol := range s.party.policies[1:99] { // the last one accepts what the peer proposes
			p := otherCipher(testESPProposal)
			if i < different {
				p = withGroup(p, wire.TransformID(100+i))
			}
			pol.Settings.Proposals = []wire.Proposal{p}
		}
		if _, err := s.party.pickPolicy(&childRequest{proposals: offered(s), local: list[:1], remote: list[:1], create: true}); (err == nil) != want {
			t.Errorf("behind %d different lists of proposals: %v", different, err)
		}
	}
}

// BenchmarkSelectorsOfManyChildren is a whole request with 255 x 255 selectors, to an engine with
// that many children, until its response is there: networks apart, and ports of one network.
func BenchmarkSelectorsOfManyChildren(b *testing.B) {
	for _, children := range []int{1, 2, 100, 256} {
		b.Run(fmt.Sprintf("networks/%d", children), func(b *testing.B) { benchmarkRequest(b, children, nil) })
		ports := payloadOf(b, func(i int) string { return fmt.Sprintf("172.16.0.0/12 tcp/%d", 2*i) })
		b.Run(fmt.Sprintf("ports/%d", children), func(b *testing.B) { benchmarkRequest(b, children, ports) })
	}
}

// benchmarkRequest measures a request with these selectors on both sides, or those of
// manySelectors. Each is the first of its engine's.
func benchmarkRequest(b *testing.B, children int, list []selector.Selector) {
	var took time.Duration
	for b.Loop() {
		p, s, apart := manySelectors(b, children)
		if list == nil {
			list = apart
		}
		ps := []wire.Payload{
			&wire.SA{Proposals: offered(s)}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, list), wireTS(true, list),
		}
		a, fx := newAttack(p), &Effects{}
		request := a.forgeRequest(p.right, wire.CreateChildSA, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
		in := Datagram{Path: ipsec.UDPPath(p.right.home(), p.left.home()), Data: request}
		start := time.Now()
		p.right.e.Handle(p.now, in, fx)
		if took += time.Since(start); len(fx.List) == 0 {
			b.Fatal("no answer")
		}
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/request")
}
