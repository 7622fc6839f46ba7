package interop

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, p := range Peers {
		if found, ok := Find(p.Name); !ok || found.Form != p.Form {
			t.Errorf("%s is not found", p.Name)
		}
	}
	if _, ok := Find("nobody"); ok {
		t.Error("nobody is found")
	}
}

// A limit of a peer removes cells, and nothing else.
func TestLimits(t *testing.T) {
	p := Peer{Name: "x", Limits: []Limit{
		{What: "Ed25519", Why: "none", cell: func(c Cell) bool { return c.Auth == Ed25519 }},
		{What: "ESN", Why: "none"},
	}, ESP: []string{"a"}, IKE: []string{"b", "c"}}
	auths := map[string]bool{}
	for _, c := range p.Cells() {
		auths[c.Auth] = true
	}
	if auths[Ed25519] || !auths[PSK] || !auths[RSA] || !auths[ECDSA] {
		t.Errorf("authentication by %v", auths)
	}
	var names []string
	for _, c := range p.Algorithms() {
		names = append(names, c.Short())
	}
	if got := strings.Join(names, ", "); got != "ESP a, IKE b, IKE c" {
		t.Errorf("algorithms %s", got)
	}
}

// Every limit of a peer has its reason, and every cell of the short form is one of all.
func TestPeers(t *testing.T) {
	for _, p := range Peers {
		all := map[string]bool{}
		for _, c := range p.Cells() {
			all[c.Name()] = true
		}
		for _, c := range p.ShortCells() {
			if p.Where != Guest && !all[c.Name()] {
				t.Errorf("%s is in the short form alone", c.Name())
			}
		}
		for _, l := range p.Limits {
			if l.What == "" || l.Why == "" || strings.HasSuffix(l.Why, ".") {
				t.Errorf("%s: %+v", p.Name, l)
			}
		}
	}
}
