package guard

import (
	"strings"
	"testing"
)

// The layout changes with chains, rules, sets and flags, and not with counters.
func TestLayout(t *testing.T) {
	s := newSite(t)
	g := openIn(t, s.gw, testConfig(), both())
	if err := g.Close(); err != nil { // nobody puts anything back
		t.Fatal(err)
	}
	layout := func(table string) (n uint64) {
		t.Helper()
		err := s.gw.Do(func() error {
			k, err := openSocket()
			if err != nil {
				return err
			}
			defer k.close()
			n, err = k.layoutOf(table)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := layout("culvert-none"); n != 0 {
		t.Errorf("the layout of no table is %d", n)
	}
	table := g.tableNow()
	before := layout(table)
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"})
	nft(t, s.gw, "add table inet other; add chain inet other c")
	if n := layout(table); n != before || n == 0 {
		t.Errorf("the layout was %d and is %d after a drop and another's table", before, n)
	}
	for _, change := range []string{
		"add chain inet TABLE c", "add rule inet TABLE c accept", "flush chain inet TABLE c", "delete chain inet TABLE c", "add set inet TABLE s { type ipv4_addr; }", "add table inet TABLE { flags dormant; }",
	} {
		nft(t, s.gw, strings.ReplaceAll(change, "TABLE", table))
		now := layout(table)
		if now == before && !strings.HasPrefix(change, "delete") {
			t.Errorf("%s: the layout is the same", change)
		}
		before = now
	}
}
