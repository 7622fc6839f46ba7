package child

import (
	"strings"
	"testing"
	"time"
)

// TestUnanswered: each request that is not answered is followed by a longer pause, up to an hour,
// in which the rest is not asked for, a packet of it is refused, and what is up stays. An answer
// ends that, and so does a command, or the loss of what was up.
func TestUnanswered(t *testing.T) {
	for name, end := range map[string]func(s *stand){
		"answer":  func(s *stand) { s.pol.Answered() },
		"command": func(s *stand) { s.pol.Start() },
		"loss":    func(s *stand) { s.pol.Pairs()[0].Lost(EndPeer, "gone") },
	} {
		s := bootStand(t)
		s.wantAsked(name, 1)
		for n, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
			s.sa.requested[len(s.sa.requested)-1].Asking()
			s.pol.Unanswered()
			s.sa.requested[len(s.sa.requested)-1].RequestEnded()
			if last := s.reports[len(s.reports)-1]; !last.Warn || last.Event != "child-unanswered" || !strings.Contains(last.Text, want.String()) {
				t.Errorf("%s: it says %+v, want a pause of %v", name, last, want)
			}
			s.now = s.now.Add(want - time.Second)
			if s.wantAsked(name, n+1); !s.pol.Shunned() || !s.pol.Up() {
				t.Fatalf("%s: asked again before the end of pause %d", name, n)
			}
			s.now = s.now.Add(time.Second)
			s.wantAsked(name, n+2)
		}
		s.pol.Unanswered()
		if end(s); s.pol.Shunned() || s.pol.unanswered.times != 0 {
			t.Errorf("%s: the pause goes on", name)
		}
	}
}

// TestUnansweredFirst: a policy that is not up gives its packets and commands up, and waits as long
// as the carrier carries others. Without that there is nothing to lose.
func TestUnansweredFirst(t *testing.T) {
	settings := pairSettings(ChildrenOne)
	settings.Start = StartTraffic
	s := newStand(t, settings)
	s.pol.Start()
	s.pol.Unanswered()
	if s.pol.Shunned() {
		t.Error("it waits, and the carrier has nothing")
	}
	if len(s.gaveUp) != 1 || !strings.Contains(s.gaveUp[0].Error(), "does not answer the request for a Child SA;") || s.pol.Wanted() {
		t.Errorf("gave up %v, wanted %v", s.gaveUp, s.pol.Wanted())
	}
}
