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
		if got := usual.InnerMTU(c.path, c.v6, c.encap); got != c.want {
			t.Errorf("InnerMTU(%d, %v, %v) = %d, want %d", c.path, c.v6, c.encap, got, c.want)
		}
	}
	// With AES-CBC and HMAC-SHA2-256-128: 1500 - 20 - 8 - 16 - 16 = 1440, 90 blocks, with a trailer
	// of two octets.
	if got := (Cipher{AESCBC, 256, HMACSHA256}).Format().InnerMTU(1500, false, false); got != 1438 {
		t.Errorf("AES-CBC: %d, want 1438", got)
	}
}

// TestInnerMTUIsLargest: for every cipher, path and header the result fits and nothing larger does,
// and what is sealed is as long as OuterLen says.
func TestInnerMTUIsLargest(t *testing.T) {
	for _, c := range allCiphers() {
		f, o := c.Format(), mustOut(t, pair(c, false, 64))
		for path := 600; path < 640; path++ {
			for i := range 4 {
				v6, encap := i&1 != 0, i&2 != 0
				outer := map[bool]int{false: 20, true: 40}[v6] + map[bool]int{false: 0, true: 8}[encap]
				n := f.InnerMTU(path, v6, encap)
				if n <= 0 || f.OuterLen(n, v6, encap) > path || f.OuterLen(n+1, v6, encap) <= path {
					t.Fatalf("%s: InnerMTU(%d, %v, %v) = %d is not the largest that fits", c, path, v6, encap, n)
				}
				if pkt := o.Seal(new(Scratch), make([]byte, 700), 1, text(n), NextIPv4); outer+len(pkt) != f.OuterLen(n, v6, encap) {
					t.Fatalf("%s: %d octets were sealed to %d, with %d of headers; OuterLen %d", c, n, len(pkt), outer, f.OuterLen(n, v6, encap))
				}
			}
		}
	}
}

func TestSPI(t *testing.T) {
	for _, c := range allCiphers() {
		o := mustOut(t, pair(c, false, 64))
		pkt := o.Seal(new(Scratch), make([]byte, 100), 1, nil, NextDummy)
		if spi, ok := SPI(pkt); !ok || spi != o.SPI() || spi != mustIn(t, pair(c, false, 64)).SPI() {
			t.Errorf("%s: SPI = %#x, %v", c, spi, ok)
		}
		for n := range minSealed {
			if _, ok := SPI(pkt[:n]); ok {
				t.Errorf("%s: %d octets have an SPI", c, n)
			}
		}
	}
}
