package aesgcm

import "testing"

// Fetch takes every cipher, and what is none.
func TestFetch(t *testing.T) {
	for _, e := range []engine{generic, aesni, vaes, avx512} {
		if e > best() {
			continue
		}
		a, err := e.new(make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(10, func() { Fetch(a) }); n != 0 {
			t.Errorf("engine %d: %v allocations", e, n)
		}
	}
	Fetch(nil)
	Fetch(7)
}
