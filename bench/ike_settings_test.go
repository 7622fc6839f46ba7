package bench

import (
	"strings"
	"testing"
	"time"
)

func TestIKESettings(t *testing.T) {
	good := IKESettings{Rounds: 1, Time: time.Second, Clients: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(IKETestKeys(), " "); got != "psk-responder ecdsa-responder rsa-responder psk-initiator ecdsa-initiator rsa-initiator" {
		t.Errorf("tests %s", got)
	}
	for want, edit := range map[string]func(*IKESettings){
		"-rounds":          func(s *IKESettings) { s.Rounds = 0 },
		"-time":            func(s *IKESettings) { s.Time = time.Millisecond },
		"-clients":         func(s *IKESettings) { s.Clients = 0 },
		"-hold":            func(s *IKESettings) { s.Hold = -1 },
		`unknown test "x"`: func(s *IKESettings) { s.Only = "psk-initiator,x" },
	} {
		s := good
		edit(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
	s := good
	s.Only = "rsa-initiator"
	if kinds, err := s.chosen(); err != nil || len(kinds) != 1 || !kinds[0].initiator || kinds[0].auth.name != "RSA-3072" {
		t.Errorf("%v, %v", kinds, err)
	}
}
