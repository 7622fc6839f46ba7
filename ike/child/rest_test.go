package child

import (
	"fmt"
	"testing"
	"time"
)

// bootStand is a policy of four pairs that should always be up, of which the first one is.
func bootStand(t *testing.T) *stand {
	settings := pairSettings(ChildrenPerPair)
	settings.Local, settings.Remote, settings.Start = settings.Local[:2], settings.Remote[:2], StartBoot
	s := newStand(t, settings)
	s.install(s.pol.Main(), true, func(a *Agreement) { a.SA.LocalTS, a.SA.RemoteTS = settings.Local[:1], settings.Remote[:1] })
	return s
}

// grantNext grants the request that the carrier was given last.
func (s *stand) grantNext() *Pair {
	l := s.sa.requested[len(s.sa.requested)-1]
	l.Asking()
	local, remote, _ := l.Single()
	p := s.install(l.For(local, remote), true, func(a *Agreement) { a.SA.LocalTS, a.SA.RemoteTS, a.Further = local, remote, true })
	l.PartMade()
	l.RequestEnded()
	return p
}

// refuseNext refuses it.
func (s *stand) refuseNext() {
	l := s.sa.requested[len(s.sa.requested)-1]
	l.Asking()
	l.PartRefused(Trouble{Reason: "no"})
	l.RequestEnded()
}

// asked checks how many requests there were since the last call.
func (s *stand) wantAsked(what string, n int) {
	s.t.Helper()
	s.pol.AskRest()
	s.pol.AskRest() // which changes nothing
	if got := len(s.sa.requested); got != n {
		s.t.Fatalf("%s: %d requests so far, want %d", what, got, n)
	}
}

// TestAskRest: one pair after another is asked for, and then nothing; what was refused after a
// pause that becomes longer.
func TestAskRest(t *testing.T) {
	s := bootStand(t)
	s.wantAsked("the second", 1)
	s.grantNext()
	s.wantAsked("the third", 2)
	s.refuseNext()
	s.wantAsked("the fourth", 3)
	p := s.grantNext()
	s.wantAsked("all were asked for", 3)
	s.pass(2100 * time.Millisecond)
	s.wantAsked("the third again", 4)
	s.refuseNext()
	s.wantAsked("refused again", 4)
	s.pass(2100 * time.Millisecond)
	s.wantAsked("the pause is longer", 4)
	s.pass(3 * time.Second)
	s.wantAsked("once more", 5)
	s.grantNext()
	s.wantAsked("complete", 5)
	if !s.pol.rest.complete || s.pol.rest.fails != 0 {
		t.Errorf("complete: %v after %d pauses", s.pol.rest.complete, s.pol.rest.fails)
	}
	p.softDue() // without a question whether it was used
	s.wantRekeyed("never used", p)
	p.Lost(EndPeer, "the peer deleted it")
	s.wantAsked("deleted just now", 5)
	s.pass(2100 * time.Millisecond)
	s.wantAsked("after a pause", 6)
}

// TestAskRestOnlyIfWanted: nothing is asked for that a packet may ask for, or nobody wants.
func TestAskRestOnlyIfWanted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *stand)
		want   int
	}{
		"boot":             {func(*stand) {}, 1},
		"one Child SA":     {func(s *stand) { s.pol.Settings.Children = ChildrenOne }, 0},
		"by traffic":       {func(s *stand) { s.pol.base = IntentTraffic }, 0},
		"by a command":     {func(s *stand) { s.pol.base, s.pol.asked = IntentTraffic, true }, 1},
		"held":             {func(s *stand) { s.pol.held = true }, 0},
		"closed":           {func(s *stand) { s.pol.Close() }, 0},
		"the owner closed": {func(s *stand) { s.closed = true }, 0},
		"down":             {func(s *stand) { s.pol.main.pairs[0].Lost(EndPeer, "gone") }, 0},
		"by addresses":     {func(s *stand) { s.pol.required = perAddresses }, 0},
		"required by peer": {func(s *stand) { s.pol.Settings.Children, s.pol.required = ChildrenOne, perNetworks }, 1},
		"all that there is": {func(s *stand) {
			s.pol.Settings.Local, s.pol.Settings.Remote = networks("10.1.0.0/24"), networks("10.2.0.0/24")
		}, 0},
	} {
		s := bootStand(t)
		c.change(s)
		s.pol.AskRest()
		if n := len(s.sa.requested); n != c.want {
			t.Errorf("%s: %d requests, want %d", name, n, c.want)
		}
	}
}

// TestRestIsNeedless: a request that waits is dropped if the peer made the pair, or nobody wants it
// any more.
func TestRestIsNeedless(t *testing.T) {
	for name, change := range map[string]func(s *stand){
		"made by the peer": func(s *stand) {
			s.install(&Chain{policy: s.pol}, false, func(a *Agreement) {
				a.SA.LocalTS, a.SA.RemoteTS, a.Further = networks("10.1.0.0/24"), networks("10.2.8.0/24"), true
			})
		},
		"taken down": func(s *stand) { s.pol.Hold() },
	} {
		s := bootStand(t)
		s.pol.AskRest()
		l := s.sa.requested[0]
		if got := fmt.Sprint(l.pair); got != "10.1.0.0/24 with 10.2.8.0/24" || l.Needless(s.sa) || l.Carries() {
			t.Fatalf("asked for %s", got)
		}
		if change(s); !l.Needless(s.sa) {
			t.Errorf("%s: the request is still needed", name)
		}
	}
}

// TestFor: what the peer made at the same time is the chain of our pair, of which one is too many.
func TestFor(t *testing.T) {
	s := bootStand(t)
	s.pol.AskRest()
	l := s.sa.requested[0]
	theirs := s.install(&Chain{policy: s.pol}, false, func(a *Agreement) {
		a.SA.LocalTS, a.SA.RemoteTS, a.Further = l.pair.local, l.pair.remote, true
	})
	if s.grantNext().Chain() != theirs.Chain() {
		t.Error("two chains carry the same")
	}
}
