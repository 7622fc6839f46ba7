package config

import (
	"os"
	"strings"
	"testing"
)

// TestREADME: the two files of README.md can be pasted: each is a configuration without a warning,
// and they are one another's other side.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```toml\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("%d files", len(blocks))
	}
	var sides []*Config
	for _, b := range blocks {
		doc, _, _ := strings.Cut(b, "```")
		c := mustLoad(t, doc)
		if len(c.Warnings) > 0 {
			t.Errorf("%v", c.Warnings)
		}
		sides = append(sides, c)
	}
	l, r := &sides[0].Peers[0], &sides[1].Peers[0]
	if l.LocalID != r.RemoteID || l.RemoteID != r.LocalID || string(l.PSK) != string(r.PSK) ||
		l.Children[0].Local[0] != r.Children[0].Remote[0] || l.Children[0].Remote[0] != r.Children[0].Local[0] || len(l.Remote) != 1 {
		t.Errorf("they do not fit:\n%+v\n%+v", l.Peer, r.Peer)
	}
}
