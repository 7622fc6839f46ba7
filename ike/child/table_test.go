package child

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// At the end of the engine everything leaves the dataplane.
func TestRemoveAll(t *testing.T) {
	w := newWorld(t, 1, onDemand(0))
	l := w.sides[0]
	l.pol.Acquire(selector.Flow{}, 0)
	w.run(time.Second)
	p := l.pol.Best()
	if l.table.Carried(p.SA.ID) != p || l.table.Pair(p.SA.ID) != p || l.table.Carried(ipsec.ChildID(77)) != nil {
		t.Error("the table does not find the pair")
	}
	l.pol.Rekey(1)
	w.run(time.Second)
	if l.table.Carried(p.SA.ID) != nil || l.table.Pair(p.SA.ID) != p {
		t.Error("a pair that lingers is carried")
	}
	l.table.RemoveAll()
	if len(l.installed) != 0 || l.table.Len() != 0 {
		t.Errorf("%d installed, %d in the table", len(l.installed), l.table.Len())
	}
}
