package hostpolicy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The reason names table and chain. Jumps to a chain that is gone, and jumps that are too deep, are
// reasons as well. Chains that many rules lead to are walked once.
func TestWalk(t *testing.T) {
	r := read(t, "chain e { meta l4proto esp drop; }; chain a { "+input+"jump e; }")
	w := &walk{rules: r, ends: make(map[*chain]bool)}
	base := r.bases[0]
	if err := w.base(base); err == nil || !strings.HasPrefix(err.Error(), "table t, chain a: a rule may drop ESP") {
		t.Errorf("the reason is %v", err)
	}
	delete(r.chains, chainKey{base.table, "e"})
	if err := (&walk{rules: r, ends: make(map[*chain]bool)}).base(base); !errors.Is(err, errGone) {
		t.Errorf("a chain that is gone: %v", err)
	}
	w = &walk{rules: r, ends: make(map[*chain]bool), depth: maxDepth}
	if err := w.base(base); !errors.Is(err, errDeep) {
		t.Errorf("too deep: %v", err)
	}
	// Each of 16 chains jumps twice to the next one: 65,536 ways.
	var b strings.Builder
	b.WriteString("chain c15 { tcp dport 1 drop; }; ")
	for i := 14; i >= 0; i-- {
		fmt.Fprintf(&b, "chain c%d { jump c%d; jump c%d; }; ", i, i+1, i+1)
	}
	r = read(t, b.String()+"chain a { "+input+"jump c1; }")
	w = &walk{rules: r, ends: make(map[*chain]bool)}
	if err := w.base(r.bases[0]); err != nil || len(w.ends) != 16 {
		t.Errorf("%d chains were walked: %v", len(w.ends), err)
	}
}
