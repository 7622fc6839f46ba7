package config

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"culvert/esp"
)

// zeros is a key in a file.
func zeros(octets int) string { return `"0x` + strings.Repeat("00", octets) + `"` }

// manualWith is manualGood with other keys and another cipher.
func manualWith(cipher, keys string) string {
	return edit(edit(manualGood, "key_out = "+zeros(20), keys), "aes128gcm16", cipher)
}

func TestBadManual(t *testing.T) {
	testBad(t, map[string]bad{
		"manual cipher":          {editManual("aes128gcm16", "aes"), []string{`a.toml:7: peer "m": child "child1": manual: cipher = "aes" is not a cipher for manual keys; use for example aes128gcm16`}},
		"manual key length":      {editManual("aes128gcm16", "aes256gcm16"), []string{`manual: key_out: the key has 20 octets; use 36`}},
		"manual key":             {editManual(`"0x00`, `"00`), []string{`manual: key_out: the key is not hexadecimal; use 0x`}},
		"manual spi":             {editManual(`"0x1001"`, `"0xff"`), []string{`manual: spi_out = "0xff" is not a usable SPI; use a number from 0x100`}},
		"manual half":            {editManual(`spi_out = "0x1001", `, ``), []string{`manual: spi_out and key_out must be given together; set both, or omit both`, "are both missing"}},
		"manual none":            {editManual(`spi_out = "0x1001", key_out = "0x0000000000000000000000000000000000000000", `, ``), []string{`manual: spi_out and spi_in are both missing; configure at least one direction`}},
		"manual without peer":    {editManual("remote = \"192.0.2.2\"\n", ""), []string{`manual keys need an address to send to; set remote in the peer`}},
		"manual and ike":         {manualGood + "start = \"boot\"\n", []string{`a.toml:8: peer "m": child "child1": start has no effect on a child with manual keys; remove it`}},
		"manual auth key":        {manualWith("aes128-sha256", "key_out = "+zeros(16)), []string{`manual: aes128-sha256 needs auth_key_out, 32 octets: the key of the integrity algorithm`}},
		"manual auth key alone":  {manualWith("aes128-sha256", "auth_key_out = "+zeros(32)), []string{`manual: aes128-sha256 needs key_out, 16 octets: the key of the encryption algorithm`}},
		"manual auth key length": {manualWith("aes128-sha256", "key_out = "+zeros(16)+", auth_key_out = "+zeros(20)), []string{`manual: auth_key_out: the key has 20 octets; use 32, the key of the integrity algorithm`}},
		"manual auth of an AEAD": {manualWith("aes128gcm12", "key_out = "+zeros(20)+", auth_key_out = "+zeros(20)), []string{`manual: auth_key_out is not used by aes128gcm12; remove it`}},
		"manual key of NULL":     {manualWith("null-sha256", "key_out = "+zeros(16)+", auth_key_out = "+zeros(32)), []string{`manual: key_out is not used by null-sha256; remove it`}},
		"manual salt of CCM":     {manualWith("aes128ccm16", "key_out = "+zeros(20)), []string{`manual: key_out: the key has 20 octets; use 19, the cipher's key followed by a salt of 3`}},
		"manual without MAC":     {manualWith("aes128", "key_out = "+zeros(16)), []string{`cipher = "aes128" is not a cipher for manual keys`}},
	})
}

func TestManualChild(t *testing.T) {
	c := mustLoad(t, `
[[peer]]
name = "bench"
remote = "2001:db8::2"
  [[peer.child]]
  name = "both"
  local = ["10.1.0.0/16"]
  remote = ["10.2.0.0/16"]
  manual = { spi_out = "0x1001", key_out = "0x`+strings.Repeat("01", 20)+`", spi_in = "8193", key_in = "0x`+strings.Repeat("02", 20)+`", cipher = "aes128gcm16" }
  [[peer.child]]
  local = ["10.1.0.0/16"]
  remote = ["10.3.0.0/16"]
  esn = "always"
  manual = { spi_in = "0x2002", key_in = "0x`+strings.Repeat("03", 36)+`", cipher = "chacha20poly1305" }
`)
	p := c.Peers[0]
	if len(p.Children) != 0 || len(p.Manual) != 2 || !slices.Equal(p.Order, []string{"both", "child2"}) {
		t.Fatalf("got %d children, %d manual, order %v", len(p.Children), len(p.Manual), p.Order)
	}
	both, one := p.Manual[0], p.Manual[1]
	if both.SPIOut != 0x1001 || both.SPIIn != 0x2001 || both.Cipher != (esp.Cipher{ID: 20, KeyBits: 128}) || len(both.KeyOut) != 20 || both.KeyIn[0] != 2 || both.ESN || both.ReplayWindow != 0 {
		t.Errorf("both: got %+v", both)
	}
	if one.SPIOut != 0 || one.KeyOut != nil || one.SPIIn != 0x2002 || one.Cipher != (esp.Cipher{ID: 28, KeyBits: 256}) || !one.ESN || one.ReplayWindow != 4096 {
		t.Errorf("one way: got %+v", one)
	}
	if len(c.Warnings) != 2 {
		t.Errorf("got warnings %v, want one for each manual child", c.Warnings)
	}
}

// TestManualCiphers: every cipher is taken, with its keys in their order.
func TestManualCiphers(t *testing.T) {
	for _, name := range []string{"aes256gcm8", "aes192ccm12", "chacha20poly1305", "aes128gmac", "aes256-sha512", "aes192ctr-sha384", "null-sha256", "aes128-sha1"} {
		c, _ := esp.CipherNamed(name)
		encr, auth := c.KeyLens()
		var keys []string
		if encr > 0 {
			keys = append(keys, `key_out = "0x`+strings.Repeat("aa", encr)+`"`)
		}
		if auth > 0 {
			keys = append(keys, `auth_key_out = "0x`+strings.Repeat("bb", auth)+`"`)
		}
		got := mustLoad(t, manualWith(name, strings.Join(keys, ", "))).Peers[0].Manual[0]
		if want := slices.Concat(bytes.Repeat([]byte{0xaa}, encr), bytes.Repeat([]byte{0xbb}, auth)); got.Cipher != c || !bytes.Equal(got.KeyOut, want) {
			t.Errorf("%s: %v, %x, want %x", name, got.Cipher, got.KeyOut, want)
		}
	}
}
