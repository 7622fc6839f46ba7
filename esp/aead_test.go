package esp

import "testing"

func TestCipher(t *testing.T) {
	for _, c := range []struct {
		c    Cipher
		name string
		key  int
	}{
		{Cipher{AESGCM16, 128}, "aes128gcm16", 20}, {Cipher{AESGCM16, 192}, "aes192gcm16", 28}, {Cipher{AESGCM16, 256}, "aes256gcm16", 36},
		{Cipher{ChaCha20Poly1305, 256}, "chacha20poly1305", 36}, {Cipher{12, 128}, "encryption 12 with 128 bits", 0},
	} {
		if c.c.String() != c.name || c.c.KeyLen() != c.key {
			t.Errorf("%v: %d octets, want %s and %d", c.c, c.c.KeyLen(), c.name, c.key)
		}
	}
}

func TestClear(t *testing.T) {
	sa := pair(aes128, false, 64)
	o, in := mustOut(t, sa), mustIn(t, sa)
	o.Clear()
	in.Clear()
	if o.keyed != (keyed{spi: sa.SPI}) || in.keyed != (keyed{spi: sa.SPI}) {
		t.Error("a cleared SA still has its key")
	}
}
