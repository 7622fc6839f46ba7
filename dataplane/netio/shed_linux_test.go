package netio

import "testing"

// TestNothingIsShedWithoutNeed: an SA that is alone may fill the buffer, and so may several that
// bring the same.
func TestNothingIsShedWithoutNeed(t *testing.T) {
	for _, sas := range []int{1, 2, 5, 8} {
		var d shedding
		for range 100 {
			for spi := range sas {
				d.note(uint32(1000+spi), 1400)
			}
		}
		if d.more() {
			t.Errorf("of %d SAs that bring the same %+v is shed", sas, d.shed)
		}
	}
}

// TestShed: the part that is shed grows while the buffer is full and shrinks when it is empty; with
// two floods both are shed, and there are never more than maxShed.
func TestShed(t *testing.T) {
	var d shedding
	come := func(octets ...int) {
		d.n, d.spis = 0, [maxHeavy]shedSPI{}
		for i, n := range octets {
			spi := uint32(i + 1)
			if n = int(uint64(n) * uint64(d.kept(spi)) >> 32); n > 0 {
				d.note(spi, n)
			}
		}
	}
	for n := range 40 {
		come(10000, 100, 9000, 50, 80, 70)
		if before := d.kept(1); d.more() && n == 0 && d.kept(1) >= before {
			t.Error("nothing is shed of the first flood")
		}
	}
	if a, b := d.kept(1), d.kept(3); a > 1<<31 || b > 1<<31 || len(d.shed) != 2 {
		t.Errorf("%+v is shed", d.shed)
	}
	for range 200 {
		d.less()
	}
	if len(d.shed) != 0 {
		t.Errorf("%+v is left", d.shed)
	}
	for spi := range uint32(10) {
		d.n, d.spis = 0, [maxHeavy]shedSPI{}
		d.note(100+spi, 10000)
		d.note(7, 100)
		d.more()
	}
	if len(d.shed) != maxShed {
		t.Errorf("%d SAs are shed", len(d.shed))
	}
}
