package esp

import "testing"

func TestInnerMTU(t *testing.T) {
	for _, c := range []struct {
		path      int
		v6, encap bool
		want      int
	}{
		{1500, false, false, 1446}, {1500, false, true, 1438}, {1500, true, false, 1426}, {1500, true, true, 1418},
		{1501, false, false, 1446}, {1503, false, false, 1446}, {1504, false, false, 1450}, {1280, true, false, 1206}, {40, false, false, 0}, {0, true, true, 0},
	} {
		got := InnerMTU(c.path, c.v6, c.encap)
		if got != c.want {
			t.Errorf("InnerMTU(%d, %v, %v) = %d, want %d", c.path, c.v6, c.encap, got, c.want)
		}
		outer := map[bool]int{false: 20, true: 40}[c.v6] + map[bool]int{false: 0, true: 8}[c.encap]
		if got > 0 && (outer+SealedLen(got) > c.path || outer+SealedLen(got+1) <= c.path) {
			t.Errorf("InnerMTU(%d, %v, %v) = %d is not the largest that fits", c.path, c.v6, c.encap, got)
		}
		if out := OuterLen(got, c.v6, c.encap); out != outer+SealedLen(got) {
			t.Errorf("OuterLen(%d, %v, %v) = %d, want %d", got, c.v6, c.encap, out, outer+SealedLen(got))
		}
	}
}

func TestSPI(t *testing.T) {
	o := mustOut(t, pair(aes128, false, 64))
	pkt := o.Seal(new(Scratch), make([]byte, 100), 1, nil, NextDummy)
	if spi, ok := SPI(pkt); !ok || spi != o.SPI() || spi != mustIn(t, pair(aes128, false, 64)).SPI() {
		t.Errorf("SPI = %#x, %v", spi, ok)
	}
	for n := range minSealed {
		if _, ok := SPI(pkt[:n]); ok {
			t.Errorf("%d octets have an SPI", n)
		}
	}
}
