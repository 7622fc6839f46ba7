package daemon

import (
	"slices"
	"testing"

	"culvert/esp"
	"culvert/internal/ipsec"
)

// Two SAs with one key have records of their own, so neither uses the other's numbers, and begin at
// IVs of their own.
func TestBeginWithOneKey(t *testing.T) {
	k := newKeeping(t)
	other := func(sa *ipsec.ChildSA) { sa.Name.Child, sa.SPIIn = "other", 0x2002 }
	a, b := k.sa(nil), k.sa(other)
	if err := k.manualRecorder.begin([]*ipsec.ChildSA{a, b}); err != nil {
		t.Fatal(err)
	}
	if a.IVStart == b.IVStart || a.State.Sent.Packets != 0 || b.State.Sent.Packets != 0 || len(k.records.sent) != 2 {
		t.Errorf("begun with %+v and %+v, %d records", a.State, b.State, len(k.records.sent))
	}
	again := k.begin(func(sa *ipsec.ChildSA) { sa.Name.Child, sa.SPIIn = "third", 0x2003 })
	if again.IVStart == a.IVStart || again.IVStart == b.IVStart || again.State.Sent.Packets != 0 {
		t.Errorf("a third one begins with %+v", again.State)
	}
}

// A child with another name or SPI goes on with the numbers of its key, beyond those allowed; one
// with another key begins at 1, and so does the first one if its key comes back, beyond its own.
func TestBeginAgain(t *testing.T) {
	k := newKeeping(t)
	sixteen := []byte("an encryption ke")
	k.begin(func(sa *ipsec.ChildSA) {
		sa.Cipher, sa.KeyOut = esp.Cipher{ID: esp.AESCBC, KeyBits: 128, Auth: esp.HMACSHA256}, slices.Concat(sixteen, []byte("integrity"))
	})
	first := k.begin(nil)
	for _, tt := range []struct {
		name string
		edit func(*ipsec.ChildSA)
		want uint64
	}{
		{"renamed", func(sa *ipsec.ChildSA) { sa.Name.Child = "new" }, leastAhead},
		{"another SPI", func(sa *ipsec.ChildSA) { sa.Name.Child, sa.SPIOut = "new", 0x1002 }, 2 * leastAhead},
		{"another key", func(sa *ipsec.ChildSA) { sa.KeyOut = []byte("other") }, 0},
		{"the first one again", nil, 3 * leastAhead},
		{"another key for integrity", func(sa *ipsec.ChildSA) {
			sa.Cipher, sa.KeyOut = esp.Cipher{ID: esp.AESCBC, KeyBits: 128, Auth: esp.HMACSHA256}, slices.Concat(sixteen, []byte("another"))
		}, leastAhead},
	} {
		k.restart()
		sa := k.begin(tt.edit)
		if sa.State.Sent.Packets != tt.want || len(sa.KeyOut) < 16 && (sa.IVStart == first.IVStart) != (tt.want > 0) {
			t.Errorf("%s: begins at %d, want %d", tt.name, sa.State.Sent.Packets, tt.want)
		}
	}
}

// A pair that was taken out goes on where it stopped, and not where its record ends.
func TestBeginGoesOn(t *testing.T) {
	k := newKeeping(t)
	was := k.begin(nil)
	k.end(was.ID, k.path.sent[was.ID])
	sa := k.begin(func(sa *ipsec.ChildSA) { sa.State.Sent.Packets, sa.State.Highest = 3<<20, 12 })
	if sa.State.Sent.Packets != 3<<20 || sa.State.Highest != 12 || sa.Allowed != 3<<20+leastAhead || sa.IVStart != was.IVStart {
		t.Errorf("got %+v, allowed %d", sa.State, sa.Allowed)
	}
}

// An SA of one direction has a record of that one; without a replay window there is none of what it
// accepts.
func TestBeginOneWay(t *testing.T) {
	for _, tt := range []struct {
		name      string
		edit      func(*ipsec.ChildSA)
		sent, top int
	}{
		{"only out", func(sa *ipsec.ChildSA) { sa.SPIIn, sa.KeyIn = 0, nil }, 1, 0},
		{"only in", func(sa *ipsec.ChildSA) { sa.SPIOut, sa.KeyOut = 0, nil }, 0, 1},
		{"only in, no window", func(sa *ipsec.ChildSA) { sa.SPIOut, sa.ReplayWindow = 0, 0 }, 0, 0},
		{"no window", func(sa *ipsec.ChildSA) { sa.ReplayWindow = 0 }, 1, 0},
	} {
		k := newKeeping(t)
		sa := k.begin(tt.edit)
		k.use(sa, sa.Allowed, 5)
		k.keep()
		k.finish()
		if len(k.records.sent) != tt.sent || len(k.records.top) != tt.top {
			t.Errorf("%s: %d and %d records", tt.name, len(k.records.sent), len(k.records.top))
		}
		if sa.SPIOut == 0 && sa.Allowed != 0 {
			t.Errorf("%s: it is allowed %d numbers", tt.name, sa.Allowed)
		}
	}
}
