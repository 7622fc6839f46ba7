package child

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// having returns a policy of 10.1/16 and 10.2/16 with live pairs that carry, in the main chain and
// in parts, 10.1/16 with each of the remote networks.
func having(t *testing.T, remotes ...string) *Policy {
	w := newWorld(t, 1, Settings{Name: "lan", Local: networks("10.1.0.0/16"), Remote: networks("10.2.0.0/16")})
	pol := w.sides[0].pol
	for i, r := range remotes {
		l := &pol.main
		if i > 0 {
			l = &Chain{policy: pol}
		}
		l.add(&Pair{policy: pol, SA: ipsec.ChildSA{LocalTS: networks("10.1.0.0/16"), RemoteTS: networks(r)}})
	}
	return pol
}

// TestChainOf: a pair of the peer's goes where one with the same selectors is, to the main chain if
// it carries all that the main one does, and else to a part of its own.
func TestChainOf(t *testing.T) {
	for _, c := range []struct {
		have  []string
		asked string
		want  int // the chain, from the main one; -1: a new part
	}{
		{nil, "10.2.0.0/24", 0},
		{[]string{"10.2.0.0/24"}, "10.2.0.0/24", 0},
		{[]string{"10.2.0.0/24"}, "10.2.0.0/16", 0},
		{[]string{"10.2.0.0/24"}, "10.2.0.0/25", -1},
		{[]string{"10.2.0.0/24"}, "10.2.1.0/24", -1},
		{[]string{"10.2.0.0/24", "10.2.1.0/24"}, "10.2.1.0/24", 1},
		{[]string{"10.2.0.0/24", "10.2.1.0/24"}, "10.2.1.0/25", -1},
	} {
		pol := having(t, c.have...)
		got := slices.Index(pol.chains(), pol.ChainOf(networks("10.1.0.0/16"), networks(c.asked)))
		if got != c.want {
			t.Errorf("with %v, %s goes to chain %d, want %d", c.have, c.asked, got, c.want)
		}
	}
}

// TestMissing: a request for a part has what no pair carries towards the packet's destination.
func TestMissing(t *testing.T) {
	pol := having(t, "10.2.0.0/17", "10.2.128.0/18")
	flow := func(src, dst string) *selector.Flow {
		return &selector.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)}
	}
	l := &Chain{policy: pol, flow: flow("10.1.0.1", "10.2.200.1")}
	if local, remote := l.Missing(); !slices.Equal(local, networks("10.1.0.0/16")) || !slices.Equal(remote, networks("10.2.192.0/18")) {
		t.Errorf("missing to the destination: %v, %v", local, remote)
	}
	pol = having(t, "10.2.0.0/16")
	pol.main.pairs[0].SA.LocalTS = networks("10.1.0.0/17")
	l = &Chain{policy: pol, flow: flow("10.1.200.1", "10.2.0.1")}
	if local, remote := l.Missing(); !slices.Equal(local, networks("10.1.128.0/17")) || !slices.Equal(remote, networks("10.2.0.0/16")) {
		t.Errorf("missing from the source: %v, %v", local, remote)
	}
}

// TestPartsAreNoWorkers: the chain for a worker is chosen beside parts.
func TestPartsAreNoWorkers(t *testing.T) {
	pol := having(t, "10.2.0.0/17", "10.2.128.0/17")
	if l := pol.FreeChain(); l.resource != 1 || l.IsPart() {
		t.Errorf("a chain for resource %d", l.resource)
	}
	if parts := pol.Parts(); len(parts) != 1 || parts[0] == pol.Main() {
		t.Errorf("%d parts", len(parts))
	}
}

// TestFirstOfNone: a part that is granted when the main chain's pair has ended becomes the main
// chain.
func TestFirstOfNone(t *testing.T) {
	pol := having(t, "10.2.0.0/17")
	l := &Chain{policy: pol, flow: &selector.Flow{}, state: chainAsking}
	pol.more = append(pol.more, l)
	if l.home() != l || !l.IsPart() {
		t.Error("the part replaces the main chain")
	}
	pol.main.pairs = nil
	if l.home() != pol.Main() || l.Now() != pol.Main() || len(pol.Parts()) != 0 {
		t.Error("the part is beside a main chain without pairs")
	}
}

// TestMissingIsBounded: very many selectors are not cut out.
func TestMissingIsBounded(t *testing.T) {
	pol := having(t, "10.2.0.0/24", "10.2.1.0/24")
	for range maxCut {
		p := pol.main.pairs[0]
		p.SA.RemoteTS = append(p.SA.RemoteTS, p.SA.RemoteTS[0])
	}
	l := &Chain{policy: pol, flow: &selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.2.1")}}
	if _, remote := l.Missing(); !slices.Equal(remote, networks("10.2.0.0/16")) {
		t.Errorf("what is missing is %v", remote)
	}
}

// TestPauseOfParts: refusals in a row make requests rare, but not those for pairs of addresses, of
// which the next may be granted.
func TestPauseOfParts(t *testing.T) {
	pause := func(single bool, refusals int) time.Duration {
		pol := having(t, "10.2.0.0/24")
		if single {
			pol.required = perAddresses
		}
		l := &Chain{policy: pol, flow: &selector.Flow{}}
		for range refusals {
			l.PartRefused(Trouble{Reason: "no"})
		}
		return pol.partRefusals.notBefore.Sub(pol.table.host.Now())
	}
	first := pause(false, 1)
	if many := pause(false, 8); first <= 0 || many < 4*first {
		t.Errorf("%v after 8 refusals, %v after the first", many, first)
	}
	if many := pause(true, 8); many > 2*first {
		t.Errorf("%v after 8 refusals of pairs, %v after the first", many, first)
	}
}

// wideSettings returns settings of a policy of 10.1/16 and 10.2/16.
func wideSettings() Settings {
	return Settings{Name: "lan", Start: StartTraffic, Lifetime: time.Minute, Local: networks("10.1.0.0/16"), Remote: networks("10.2.0.0/16")}
}

// up installs a pair of the main chain that carries a remote network.
func (s *stand) up(remote string) *Pair {
	return s.install(s.pol.Main(), true, func(a *Agreement) { a.SA.RemoteTS = networks(remote) })
}

// part installs a pair of a part that carries a remote network.
func (s *stand) part(remote string) *Pair {
	return s.install(&Chain{policy: s.pol, flow: &selector.Flow{}}, true, func(a *Agreement) { a.SA.RemoteTS, a.Further = networks(remote), true })
}

// TestAcquirePart: a packet that no pair carries has a part requested, once at a time and with
// bounds; otherwise it is answered at once.
func TestAcquirePart(t *testing.T) {
	flow := selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.9.9")}
	for name, c := range map[string]struct {
		change func(s *stand)
		plane  string
		asked  int
	}{
		"asked for":         {func(*stand) {}, "", 1},
		"one under way":     {func(s *stand) { s.pol.Acquire(flow, 0) }, "", 1},
		"no carrier":        {func(s *stand) { s.sa = nil }, "drop", 0},
		"refused lately":    {func(s *stand) { (&Chain{policy: s.pol}).PartRefused(Trouble{Reason: "no"}) }, "drop", 0},
		"granted since":     {func(s *stand) { l := &Chain{policy: s.pol}; l.PartRefused(Trouble{Reason: "no"}); l.PartMade() }, "", 1},
		"refused long ago":  {func(s *stand) { (&Chain{policy: s.pol}).PausePart(time.Minute); s.pass(time.Minute) }, "", 1},
		"one less than all": {func(s *stand) { s.parts(maxParts - 1) }, "", 1},
		"all":               {func(s *stand) { s.parts(maxParts) }, "drop", 0},
		"the owner closed":  {func(s *stand) { s.closed = true }, "drop", 0},
	} {
		s := newStand(t, wideSettings())
		s.up("10.2.0.0/24")
		sa := s.sa
		c.change(s)
		s.plane = nil
		s.pol.Acquire(flow, 0)
		s.wantPlane(name, c.plane)
		if len(sa.requested) != c.asked {
			t.Errorf("%s: %d requests, want %d", name, len(sa.requested), c.asked)
		}
	}
}

func (s *stand) parts(n int) {
	for i := range n {
		s.part(fmt.Sprintf("10.3.%d.0/24", i))
	}
}

// TestRequestForAPartEnded: the packet of a part is answered if nothing carries it.
func TestRequestForAPartEnded(t *testing.T) {
	for remote, plane := range map[string]string{"10.2.9.0/24": "", "10.2.8.0/24": "drop"} {
		s := newStand(t, wideSettings())
		s.up("10.2.0.0/24")
		s.pol.Acquire(selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.9.9")}, 0)
		l := s.sa.requested[0]
		if l.Needless(s.sa) || !l.Useful(networks("10.1.0.0/16"), networks(remote)) || l.Useful(networks("10.1.0.0/16"), networks("10.2.0.0/25")) {
			t.Errorf("%s: needless %v", remote, l.Needless(s.sa))
		}
		l.Asking()
		s.install(l, true, func(a *Agreement) { a.SA.RemoteTS, a.Further = networks(remote), true })
		s.plane = nil
		l.RequestEnded()
		s.wantPlane(remote, plane)
	}
}

// TestUnusedPart: a part that we asked for is not rekeyed if it was never used.
func TestUnusedPart(t *testing.T) {
	s := newStand(t, wideSettings())
	s.up("10.2.0.0/24")
	p := s.part("10.2.1.0/24")
	p.softDue()
	p.judge()
	s.wantDeleted("unused", "2: it was not used")
	q := s.part("10.2.2.0/24")
	q.softDue()
	q.Saw(ipsec.Traffic{In: s.now})
	s.wantRekeyed("used", q)
}

// TestPartUnanswered: what the peer does not answer is asked for after pauses that grow, whatever
// part it is, until it answers.
func TestPartUnanswered(t *testing.T) {
	s := bootStand(t)
	asked := 0
	unanswered := func() time.Duration {
		s.pol.AskRest()
		if asked++; len(s.sa.requested) != asked {
			t.Fatalf("%d requests so far, want %d", len(s.sa.requested), asked)
		}
		l := s.sa.requested[asked-1]
		l.Asking()
		l.RequestEnded()
		l.PartUnanswered()
		s.wantEvents("not answered", "part-failed")
		s.pol.AskRest()
		pause := s.pol.partRefusals.notBefore.Sub(s.now)
		s.pass(pause - 1)
		s.pol.AskRest()
		s.pol.Acquire(selector.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.8.1")}, 0)
		if len(s.sa.requested) != asked {
			t.Fatal("asked for within the pause")
		}
		s.pass(1)
		return pause
	}
	first := unanswered()
	if second := unanswered(); second < 2*first {
		t.Errorf("pauses of %v and %v", first, second)
	}
	s.pol.AskRest()
	asked++
	s.refuseNext()
	s.reports = nil
	if again := unanswered(); again != first {
		t.Errorf("after an answer a pause of %v, want %v", again, first)
	}
	for range 20 {
		first = unanswered()
	}
	if first < time.Hour || first > 75*time.Minute {
		t.Errorf("the longest pause is %v", first)
	}
	for name, again := range map[string]func(){
		"a command": s.pol.Start,
		"the loss":  func() { s.pol.lost(EndFailed, "gone") },
	} {
		(&Chain{policy: s.pol}).PartUnanswered()
		again()
		if s.pol.partRefusals != (partRefusals{}) || s.pol.rest.timer.Running() {
			t.Errorf("%s does not end the pause", name)
		}
	}
}
