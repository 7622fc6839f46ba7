package esp

import "testing"

// meanwhile is a cipher during whose work something happens to the SA.
type meanwhile struct {
	keyed
	happens func()
}

func (m meanwhile) Seal(dst, nonce, text, aad []byte) []byte {
	return aeadOf(&m.keyed).Seal(dst, nonce, text, aad)
}

func (m meanwhile) Open(dst, nonce, text, aad []byte) ([]byte, error) {
	return aeadOf(&m.keyed).Open(dst, nonce, text, aad)
}

func (m meanwhile) SealPacket(packet, text []byte, salt uint32, seq uint64, esn bool) {
	m.seal(new(Scratch), packet, text, seq)
}

func (m meanwhile) OpenPacket(packet []byte, salt uint32, seq uint64, esn bool) bool {
	m.happens()
	return transformOf(&m.keyed).open(&m.keyed, new(Scratch), packet, seq)
}

// TestOpenOneMeanwhile: a packet that came alone, in the highest block, while other goroutines
// accept numbers.
func TestOpenOneMeanwhile(t *testing.T) {
	const seq = 5*blockBits + 7
	for _, c := range []struct {
		name     string
		accepted uint64 // meanwhile; 0: nothing
		refused  bool
		newest   bool
	}{
		{"nothing", 0, false, true},
		{"an earlier one of the block", seq - 1, false, true},
		{"a later one of the block", seq + 1, false, false},
		{"one of a later block", seq + blockBits, false, false},
		{"one of a later block with its word", seq + 3*blockBits, true, false},
		{"a copy of it", seq, true, false},
	} {
		sa := pair(aes128, false, 64)
		o, in := mustOut(t, sa), mustIn(t, sa)
		if p, a := openOne(in, sealNumber(o, seq-2, 20)); p.Err != nil || !a.Newest {
			t.Fatalf("%s: the first: %v, %+v", c.name, p.Err, a)
		}
		if w := &in.window; w.topWord.Load() != w.word(w.top.Load()) {
			t.Fatalf("%s: the word of the highest block is another", c.name)
		}
		calls := 0
		in.whole = meanwhile{in.keyed, func() {
			calls++
			if n := c.accepted; n != 0 {
				in.window.accept(n>>blockShift, 1<<(n&blockMask))
			}
		}}
		p, a := openOne(in, sealNumber(o, seq, 20))
		if want := (Arrival{Authentic: !c.refused, Newest: c.newest}); a != want || (p.Err == ErrReplay) != c.refused || calls != 1 {
			t.Errorf("%s: %+v, %v, want %+v", c.name, a, p.Err, want)
		}
		if again, _ := openOne(in, sealNumber(o, seq, 20)); again.Err != ErrReplay {
			t.Errorf("%s: once more: %v", c.name, again.Err)
		}
	}
}

// TestOpenOneOfAReusedWord: another goroutine has given the word of the highest block to a newer
// one, and has not moved the top yet.
func TestOpenOneOfAReusedWord(t *testing.T) {
	sa := pair(aes128, false, 64)
	o, in := mustOut(t, sa), mustIn(t, sa)
	openOne(in, sealNumber(o, 5*blockBits, 20))
	newer := uint64(5 + len(in.window.ring))
	mark(in.window.word(newer), newer, 1)
	if p, a := openOne(in, sealNumber(o, 5*blockBits+1, 20)); p.Err != ErrReplay || a != (Arrival{}) {
		t.Errorf("%v, %+v", p.Err, a)
	}
	if p, _ := openOne(in, sealNumber(o, newer*blockBits+1, 20)); p.Err != nil {
		t.Errorf("of the newer block: %v", p.Err)
	}
}
