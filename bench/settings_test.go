package bench

import (
	"flag"
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		args, err string
		tests     int
	}{
		{"", "", len(kinds)},
		{"-rounds 0", "-rounds must be at least 1", 0},
		{"-time 1ms", "-time must be at least 100ms", 0},
		{"-tests tcp1,loaded", "", 2},
		{"-tests tcp1,frob", `unknown test "frob" in -tests: use some of tcp1, `, 0},
	} {
		s := Settings{Rounds: 5, Time: time.Second}
		f := flag.NewFlagSet("", flag.ContinueOnError)
		s.Register(f)
		if err := f.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		got, err := s.chosen()
		if len(got) != tt.tests || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %d tests, %v", tt.args, len(got), err)
		}
	}
	if s := (&Settings{Only: "UDP, wire"}); !s.wants("culvert, UDP") || !s.wants(Rival) || s.wants("plain link") || !new(Settings).wants("plain link") {
		t.Error("-only chooses wrongly")
	}
}

func TestPaceLearns(t *testing.T) {
	p := newPace()
	p.plan("a", 4, time.Second)
	p.plan("b", 2, 10*time.Second)
	if got := p.left(); got != 24*time.Second {
		t.Errorf("at first %v", got)
	}
	p.did("a", 3*time.Second)
	p.did("a", 5*time.Second)
	if got := p.left(); got != 2*4*time.Second+20*time.Second {
		t.Errorf("with what is known of a: %v", got)
	}
	for range 3 {
		p.did("b", time.Second)
	}
	if got := p.left(); got != 8*time.Second {
		t.Errorf("with more of b than planned: %v", got)
	}
}
