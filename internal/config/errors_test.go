package config

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"remotee": "remote", "rmeote": "remote", "localid": "local_id", "Name": "name", "pks": "psk", "zzzz": "", "": "", "dpdaction": "dpd_action",
		"proposals": "ike_proposals", "ikelifetime": "ike_lifetime",
	} {
		if got := nearest(word, names(peerKeys)); got != want {
			t.Errorf("nearest(%q): got %q, want %q", word, got, want)
		}
	}
	if got := nearest(strings.Repeat("x", 1000), names(peerKeys)); got != "" {
		t.Errorf("got %q for a long word", got)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := loadText(t, `
[daemon]
wrkers = 2
log = "loud"

[[peer]]
name = "a"
remote = "192.0.2.256"
psk = "0xzz"
local_id = "a"

  [[peer.child]]
  local = ["10.0.0.0/33"]
  remote = ["10.1.0.0/16", "10.2.0.0/16 tpc/1"]

[[peer]]
nmae = "b"
`)
	lines := []string{":3:", ":4:", ":8:", ":9:", ":13:", ":14:"}
	got := texts(err)
	for _, l := range lines {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "a.toml"+l) }) {
			t.Errorf("no error at %s in:\n%s", l, strings.Join(got, "\n"))
		}
	}
	if !slices.ContainsFunc(got, func(s string) bool {
		return strings.HasPrefix(s, `a.toml:17: peer 2: unknown key "nmae": did you mean "name"?`)
	}) {
		t.Errorf("no error about nmae in:\n%s", strings.Join(got, "\n"))
	}
	if !slices.IsSortedFunc(err.(Errors), func(a, b *Error) int { return a.Line - b.Line }) {
		t.Errorf("errors are not in the order of lines:\n%s", strings.Join(got, "\n"))
	}
}
