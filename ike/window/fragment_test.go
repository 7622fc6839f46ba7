package window

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"culvert/ike/wire"
)

func fragment(number, total uint16) *wire.EncryptedFragment {
	f := &wire.EncryptedFragment{Number: number, Total: total}
	if number == 1 {
		f.First = wire.PayloadIDi
	}
	return f
}

// put adds a fragment if it is wanted.
func put(r *Reassembly, number, total uint16, plain string) (Message, bool) {
	f := fragment(number, total)
	if !r.Wants(f) {
		return Message{}, false
	}
	return r.Add(f, []byte(plain), sha256.Sum256([]byte(plain)), MaxReassembled)
}

// In whatever order, and however often, fragments come: the message is complete with the last that
// was missing, and only then.
func TestReassembly(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		total := uint16(1 + r.IntN(12))
		var re Reassembly
		var whole []byte
		parts := make([]string, total)
		for i := range parts {
			parts[i] = string(rune('a'+i)) + string(make([]byte, r.IntN(5)))
			whole = append(whole, parts[i]...)
		}
		seen := map[uint16]bool{}
		for len(seen) < int(total) {
			n := uint16(r.IntN(int(total))) + 1
			m, complete := put(&re, n, total, parts[n-1])
			seen[n] = true
			if complete != (len(seen) == int(total)) {
				t.Fatalf("seed %d: complete %v with %d of %d", seed, complete, len(seen), total)
			}
			if complete && (!bytes.Equal(m.Plain, whole) || m.First != wire.PayloadIDi || m.Digest != sha256.Sum256([]byte(parts[0]))) {
				t.Fatalf("seed %d: %+v, want %q", seed, m, whole)
			}
		}
		if re.Held() != 0 || !re.Wants(fragment(1, 1)) {
			t.Fatalf("seed %d: %d octets are held", seed, re.Held())
		}
	}
}

func TestWants(t *testing.T) {
	for _, tt := range []struct {
		number, total uint16
		want          bool
	}{
		{0, 3, false}, {1, 3, false}, {2, 3, true}, {3, 3, true}, {4, 3, false}, // fragment 1 of 3 is there
		{1, 2, false}, {2, 2, false}, // fewer, so that it comes late
		{1, 4, true}, {4, 4, true}, // the sender has fragmented again
		{1, MaxFragments, true}, {MaxFragments, MaxFragments, true}, {1, MaxFragments + 1, false},
	} {
		var r Reassembly
		put(&r, 1, 3, "a")
		if got := r.Wants(fragment(tt.number, tt.total)); got != tt.want {
			t.Errorf("%d of %d is wanted: %v", tt.number, tt.total, got)
		}
	}
}

// What was collected of fewer fragments is dropped when there are more.
func TestFragmentedAgain(t *testing.T) {
	var r Reassembly
	put(&r, 1, 2, "old")
	if _, complete := put(&r, 2, 3, "b"); complete || r.Held() != 1 {
		t.Fatalf("complete %v, %d octets", complete, r.Held())
	}
	put(&r, 1, 3, "a")
	if m, complete := put(&r, 3, 3, "c"); !complete || string(m.Plain) != "abc" {
		t.Fatalf("complete %v: %q", complete, m.Plain)
	}
}

// An empty fragment counts, and the content is copied.
func TestFragmentsAreCopied(t *testing.T) {
	var r Reassembly
	put(&r, 1, 3, "")
	plain := []byte("b")
	r.Add(fragment(2, 3), plain, [sha256.Size]byte{}, MaxReassembled)
	plain[0] = 'x'
	if m, complete := put(&r, 3, 3, "c"); !complete || string(m.Plain) != "bc" {
		t.Fatalf("complete %v: %q", complete, m.Plain)
	}
}

func TestReassemblyIsBounded(t *testing.T) {
	var r Reassembly
	half := string(make([]byte, MaxReassembled/2))
	put(&r, 1, 4, half)
	put(&r, 2, 4, half)
	if r.Held() != MaxReassembled {
		t.Fatalf("%d octets are held, want all", r.Held())
	}
	if _, complete := put(&r, 3, 4, "x"); complete || r.Held() != 0 {
		t.Fatalf("complete %v, %d octets are held", complete, r.Held())
	}
	put(&r, 1, 2, "x")
	put(&r, 2, 3, "x")
	if r.Reset(); r.Held() != 0 || !r.Wants(fragment(1, 1)) {
		t.Error("it is not empty after Reset")
	}
}
