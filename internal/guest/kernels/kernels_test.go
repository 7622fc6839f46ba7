package kernels

import (
	"regexp"
	"testing"
)

func TestSettings(t *testing.T) {
	s := Settings{Kernels: []string{"6.1"}, Only: regexp.MustCompile("^tun"), Tests: "TestX"}
	got, err := s.suites()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].pkg != "tun" || got[0].run != "TestX" {
		t.Errorf("got %v", got)
	}
	if !s.kernel("6.1") || s.kernel("6.12") || !(Settings{}).kernel("6.12") {
		t.Error("other kernels were chosen")
	}
	if all, err := (Settings{}).suites(); err != nil || len(all) != len(suites) || all[0].run != suites[0].run {
		t.Errorf("got %v, %v, want all", all, err)
	}
	for _, s := range []Settings{{Kernels: []string{"2.4"}}, {Only: regexp.MustCompile("nothing")}} {
		if _, err := s.suites(); err == nil {
			t.Errorf("%v has suites", s)
		}
	}
}
