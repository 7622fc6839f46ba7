package hostpolicy

import (
	"testing"

	"golang.org/x/sys/unix"
)

// read reads a ruleset of a table t.
func read(t *testing.T, chains string, own ...string) *ruleset {
	t.Helper()
	h := newHost(t)
	if err := rulesOf(h, "inet", chains); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, name := range own {
		names[name] = true
	}
	var r *ruleset
	if err := h.Do(func() (err error) { r, err = readRuleset(names); return err }); err != nil {
		t.Fatal(err)
	}
	return r
}

// A ruleset has the chains with their hooks, policies and rules, but not those of tables of ours.
func TestReadRuleset(t *testing.T) {
	const chains = "chain a { " + output + "policy drop; accept; drop; }; chain b { drop; }"
	r := read(t, chains)
	if len(r.bases) != 1 || len(r.chains) != 2 {
		t.Fatalf("%d base chains of %d", len(r.bases), len(r.chains))
	}
	c := r.bases[0]
	if c.name != "a" || c.table != (tableKey{unix.NFPROTO_INET, "t"}) || c.hook != unix.NF_INET_LOCAL_OUT || c.kind != "filter" || !c.drops || len(c.rules) != 2 {
		t.Errorf("the base chain is %+v", c)
	}
	if b := r.chains[chainKey{c.table, "b"}]; b == nil || b.base || len(b.rules) != 1 {
		t.Errorf("the other chain is %+v", b)
	}
	if r := read(t, chains, "t", "other"); len(r.chains) != 0 {
		t.Errorf("of a table of ours there are %d chains", len(r.chains))
	}
	if (tableKey{unix.NFPROTO_IPV4, "t"}).in(map[string]bool{"t": true}) {
		t.Error("a table of another family with the same name is ours")
	}
}
