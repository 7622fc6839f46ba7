package netio

import (
	"testing"
	"time"
)

// TestSwitchWaitsForTheRing: packets are not taken again while a worker that is held up has some of
// those from before, and are once it has come to them; SPIs that came meanwhile are taken.
func TestSwitchWaitsForTheRing(t *testing.T) {
	p := newRingPair(t, 1)
	p.live(t, 1000)
	i := p.netB.inlet
	p.numbered(t, 1000, 0, 3)
	i.end()
	begun := time.Now()
	if i.begin(); i.takes() || time.Since(begun) < drainMost {
		t.Error("the ring is not empty, and packets are taken again")
	}
	p.netB.Live(1001)
	p.netB.Expect(1002)
	p.netB.Expect(1000) // which it is
	p.netB.Gone(1003)
	p.numbered(t, 1000, 3, 5)
	for n := range 5 {
		if in := recv(t, p.netB.Ports()[0], nil); in.Data[7] != byte(n) {
			t.Fatalf("packet %d came, want %d", in.Data[7], n)
		}
	}
	if i.begin(); !i.takes() {
		t.Error("packets are not taken again")
	}
	for _, spi := range []uint32{1000, 1001, 1002} {
		if got := i.maps.table.place(spi).Load(); got != spi {
			t.Errorf("at the place of %d is %d", spi, got)
		}
	}
	if i.end(); i.maps.table.place(1000).Load() != 0 || i.maps.table.place(1002).Load() != 0 {
		t.Error("SPIs are still known")
	}
	i.end() // once more
	if i.takesAt(linkIndex(t, p, "nn0")) {
		t.Error("packets are sent past the IP stack where none are taken")
	}
}
