package esp

import (
	"bytes"
	"crypto/hmac"
	_ "embed"
	"runtime"
	"strings"
	"testing"
)

//go:embed testdata/hmac.txt
var hmacVectors string

func TestHMACVectors(t *testing.T) {
	byName, count := map[string]integrity{}, 0
	for _, i := range integrities {
		byName[i.name] = i
	}
	var s Scratch
	for line := range strings.Lines(hmacVectors) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		i, ok := byName[f[0]]
		if !ok {
			t.Fatalf("no %s", f[0])
		}
		key, want := unhex(t, f[1]), unhex(t, f[3])
		m := newHMAC(i.hash, key)
		got := m.sum(&keyed{}, &s, unhex(t, f[2]), 1<<40)
		if len(key) != i.keyLen || len(want) != int(i.icvLen) || !bytes.Equal(got[:i.icvLen], want) {
			t.Errorf("%s: %x, want %x", f[0], got[:i.icvLen], want)
		}
		if !equal(got, want) || equal(got, want[1:]) {
			t.Errorf("%s: equal is wrong", f[0])
		}
		count++
	}
	if count != 15 {
		t.Errorf("%d vectors, want 15", count)
	}
}

// TestHMACIsWiped: what is made of a key is gone from the memory of the SA when nothing refers to
// it, and from that of a goroutine after each packet.
func TestHMACIsWiped(t *testing.T) {
	var s Scratch
	for _, i := range integrities {
		m := newHMAC(i.hash, text(i.keyLen))
		m.sum(&keyed{}, &s, text(9), 1)
		fresh, _ := newHash[i.hash]().(hasher).AppendBinary(nil)
		if now, _ := s.hash(i.hash).AppendBinary(nil); !bytes.Equal(now, fresh) {
			t.Errorf("%s: a goroutine keeps a state of the hash", i.name)
		}
		inner, outer := m.inner, m.outer
		if allZero(inner) || allZero(outer) || bytes.Equal(inner, outer) {
			t.Errorf("%s: states %x and %x", i.name, inner, outer)
		}
		m = nil
		for n := 0; n < 1000 && !(allZero(inner) && allZero(outer)); n++ {
			runtime.GC()
			runtime.Gosched() // cleanups run in a goroutine of the runtime's
		}
		if !allZero(inner) || !allZero(outer) {
			t.Errorf("%s: the states are still there", i.name)
		}
	}
}

// The high half of an extended sequence number is authenticated behind the packet, and of another
// one it is not. One Scratch serves all hashes and keys in turn.
func TestHMACOfExtendedNumbers(t *testing.T) {
	var s Scratch
	for id, i := range integrities {
		key, pkt := text(i.keyLen), text(77)
		h := hmac.New(newHash[i.hash], key)
		h.Write(pkt)
		short := h.Sum(nil)
		h.Write([]byte{1, 2, 3, 4})
		long := h.Sum(nil)
		m := newHMAC(i.hash, key)
		for range 2 {
			if got := m.sum(&keyed{esn: true}, &s, pkt, 0x01020304_05060708); !bytes.Equal(got, long) {
				t.Errorf("%d, extended: %x, want %x", id, got, long)
			}
			if got := m.sum(&keyed{}, &s, pkt, 0x01020304_05060708); !bytes.Equal(got, short) {
				t.Errorf("%d: %x, want %x", id, got, short)
			}
		}
	}
}
