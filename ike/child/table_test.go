package child

import (
	"slices"
	"testing"
	"time"

	"culvert/esp"
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

// What a new pair is: its own ID, the settings of its policy, selectors in their shortest form, and
// no keys.
func TestInstall(t *testing.T) {
	settings := Settings{Name: "lan", Limits: esp.Limits{SoftBytes: 7}, ReplayWindow: 99}
	s := newStand(t, settings)
	halves, whole := networks("10.1.128.0/17", "10.1.0.0/17"), networks("10.1.0.0/16")
	p := s.install(s.pol.Main(), true, func(a *Agreement) {
		a.SA.LocalTS, a.SA.RemoteTS = halves, halves
		a.SA.KeyIn, a.SA.KeyOut = []byte{1}, []byte{2}
	})
	sa := p.SA
	if sa.ID != 1 || sa.Policy != 7 || sa.Name.Child != "lan" || sa.Limits != settings.Limits || sa.ReplayWindow != 99 || sa.KeyIn != nil || sa.KeyOut != nil {
		t.Errorf("installed %+v", sa)
	}
	if !slices.Equal(sa.LocalTS, whole) || !slices.Equal(sa.RemoteTS, whole) {
		t.Errorf("installed %v and %v", sa.LocalTS, sa.RemoteTS)
	}
	if p.State() != Live || s.sa.bundle.Pairs()[0] != p || s.table.Pair(1) != p || !s.touched || s.table.Len() != 1 {
		t.Errorf("it is %v", p.State())
	}
	if q := s.ours(); q.SA.ID != 2 {
		t.Errorf("the next one has the ID %d", q.SA.ID)
	}
}

// TestInstallOnAnEndingCarrier: the answer to a request of before wants nothing up, nor is what
// waits for another carrier answered by it.
func TestInstallOnAnEndingCarrier(t *testing.T) {
	for _, ending := range []bool{false, true} {
		s := newStand(t, Settings{Name: "lan", Local: networks("10.1.0.0/24"), Remote: networks("10.2.0.0/24")})
		s.sa.ending = ending
		s.pol.flow = &selector.Flow{}
		s.ours()
		if s.pol.Wanted() == ending || (s.pol.flow == nil) == ending {
			t.Errorf("ending %v: wanted %v, a packet waits: %v", ending, s.pol.Wanted(), s.pol.flow != nil)
		}
	}
}
