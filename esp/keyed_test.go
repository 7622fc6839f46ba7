package esp

import (
	"errors"
	"strings"
	"testing"
)

func TestNewKeyedRefuses(t *testing.T) {
	good := Cipher{ID: AESCBC, KeyBits: 256, Auth: HMACSHA256}
	for _, c := range []struct {
		name string
		spi  uint32
		c    Cipher
		key  int
		want error
	}{
		{"good", 256, good, 64, nil},
		{"a reserved SPI", 255, good, 64, ErrSPI},
		{"a key without the integrity algorithm's", 256, good, 32, ErrKey},
		{"a key too long", 256, good, 65, ErrKey},
		{"encryption alone", 256, Cipher{ID: AESCBC, KeyBits: 256}, 32, ErrCipher},
		{"NULL alone", 256, Cipher{ID: NULL}, 0, ErrCipher},
		{"an AEAD with integrity", 256, Cipher{ID: AESGCM16, KeyBits: 128, Auth: HMACSHA256}, 52, ErrCipher},
	} {
		key := []byte(strings.Repeat("K", c.key))
		_, err := newKeyed(c.spi, c.c, key, false)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "KK") {
			t.Errorf("%s: the error has the key: %v", c.name, err)
		}
	}
}

func TestClear(t *testing.T) {
	for _, c := range allCiphers() {
		sa := pair(c, false, 64)
		o, in := mustOut(t, sa), mustIn(t, sa)
		var mac *keyedHMAC
		if s, ok := o.other.(separate); ok {
			mac = s.mac
		}
		o.Clear()
		in.Clear()
		want := keyed{spi: sa.SPI, across: o.across, Format: c.Format()}
		if o.keyed != want || in.keyed != want {
			t.Errorf("%s: a cleared SA still has its key", c)
		}
		if mac != nil && (!allZero(mac.inner) || !allZero(mac.outer)) {
			t.Errorf("%s: the states of the HMAC are still there", c)
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
