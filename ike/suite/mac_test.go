package suite

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"culvert/ike/wire"
)

func TestMAC(t *testing.T) {
	key, head, text := []byte("a key"), []byte("head"), []byte("text")
	m := newMAC(integrities[wire.IntegHMACSHA2256], key)
	h := hmac.New(sha256.New, key)
	h.Write([]byte("headtext"))
	want := h.Sum(nil)[:16]
	for range 2 {
		if !m.authentic(head, append(append([]byte{}, text...), want...)) {
			t.Error("a right ICV is refused")
		}
	}
	for i := range want {
		bad := append(append([]byte{}, text...), want...)
		bad[len(text)+i] ^= 1
		if m.authentic(head, bad) {
			t.Errorf("octet %d is not compared", i)
		}
	}
	for n := range len(want) {
		if m.authentic(nil, make([]byte, n)) {
			t.Errorf("%d octets are authentic", n)
		}
	}
}
