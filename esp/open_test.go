package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// sealText seals whatever text is, trailer included, so that a peer's mistakes can be made.
func sealText(k *keyed, seq uint64, text []byte) []byte {
	pkt := make([]byte, k.Headroom()+len(text)+int(k.ICV))
	binary.BigEndian.PutUint32(pkt, k.spi)
	binary.BigEndian.PutUint32(pkt[4:], uint32(seq))
	c := transformOf(k)
	c.putIV(pkt[HeaderLen:k.Headroom()], seq)
	copy(k.Format.text(pkt), text)
	c.seal(k, new(Scratch), pkt, k.Format.text(pkt), seq)
	return pkt
}

func transformOf(k *keyed) transform {
	if k.whole != nil {
		return &aeadTransform{k.whole}
	}
	return k.other
}

// openOne opens a packet that came alone.
func openOne(in *Inbound, pkt []byte) (Packet, Arrival) {
	run := []Packet{{Data: pkt}}
	a := in.Open(new(Scratch), run)
	return run[0], a
}

func TestOpenRefusesEveryBitFlip(t *testing.T) {
	for _, c := range allCiphers() {
		for _, esn := range []bool{false, true} {
			sa := pair(c, esn, 64)
			o, in := mustOut(t, sa), mustIn(t, sa)
			var s Scratch
			pkt := bytes.Clone(o.Seal(&s, make([]byte, 200), 1, text(50), NextIPv4))
			for i := range len(pkt) * 8 {
				bad := bytes.Clone(pkt)
				bad[i/8] ^= 1 << (i % 8)
				if p, a := openOne(in, bad); !errors.Is(p.Err, ErrICV) && !errors.Is(p.Err, ErrReplay) || a != (Arrival{}) {
					t.Fatalf("%s: bit %d: %v, %+v", c, i, p.Err, a)
				}
			}
			if top := in.window.top.Load(); top != 0 {
				t.Fatalf("%s: forgeries moved the window to %d", c, top)
			}
			if used := in.Used(); used != (Usage{}) {
				t.Fatalf("%s: forgeries were counted: %+v", c, used)
			}
			if p, _ := openOne(in, pkt); p.Err != nil {
				t.Fatalf("%s: after the forgeries: %v", c, p.Err)
			}
		}
	}
}

func TestOpenReplay(t *testing.T) {
	sa := pair(aes128, false, 32)
	o, in := mustOut(t, sa), mustIn(t, sa)
	var s Scratch
	open := func(seq uint64, want error, newest bool) {
		t.Helper()
		p, a := openOne(in, o.Seal(&s, make([]byte, 100), seq, text(9), NextIPv4))
		if !errors.Is(p.Err, want) || a.Newest != newest || a.Authentic != (want == nil) {
			t.Errorf("number %d: %v, %+v; want %v, newest %v", seq, p.Err, a, want, newest)
		}
	}
	open(0, ErrReplay, false)
	open(5, nil, true)
	open(5, ErrReplay, false)
	open(3, nil, false)
	open(3, ErrReplay, false)
	open(127, nil, true)
	open(96, nil, false)        // the last one within a window of 32
	open(63, ErrReplay, false)  // behind it
	open(5, ErrReplay, false)   // accepted long ago
	open(128, nil, true)        // the window moves
	open(96, ErrReplay, false)  // seen, and still within
	open(97, nil, false)        // never seen
	open(1<<32-1, nil, true)    // the last number there is
	open(1<<32-32, nil, false)  // within the window at the end
	open(129, ErrReplay, false) // never seen, but far behind
}

// TestAcceptCopies: of two copies that were both decrypted before one was accepted, the second is
// refused.
func TestAcceptCopies(t *testing.T) {
	sa := pair(aes128, true, 64)
	o, in := mustOut(t, sa), mustIn(t, sa)
	run := runOf(sealNumber(o, 1, 20), sealNumber(o, 1, 20))
	for i := range run {
		in.Decrypt(new(Scratch), &run[i])
	}
	if a := in.Accept(run[:1]); a != (Arrival{Authentic: true, Newest: true}) || run[0].Err != nil {
		t.Errorf("the first: %+v, %v", a, run[0].Err)
	}
	if a := in.Accept(run[1:]); a != (Arrival{}) || run[1].Err != ErrReplay || run[1].Data != nil {
		t.Errorf("the second: %+v, %v", a, run[1].Err)
	}
	if got := in.Used(); got != (Usage{Packets: 1, Octets: 20}) {
		t.Errorf("counted %+v", got)
	}
}

// A sender with extended sequence numbers crosses 2^32 twice, out of order and with losses.
func TestOpenExtendedSequence(t *testing.T) {
	sa := pair(aes128, true, 128)
	o, in := mustOut(t, sa), mustIn(t, sa)
	var s Scratch
	open := func(seq uint64, want error) {
		t.Helper()
		p, _ := openOne(in, o.Seal(&s, make([]byte, 100), seq, text(9), NextIPv4))
		if !errors.Is(p.Err, want) || p.Err == nil && p.Seq != seq {
			t.Errorf("number %#x: got %#x, %v; want %v", seq, p.Seq, p.Err, want)
		}
	}
	const turn = 1 << 32
	open(1, nil)
	open(turn-100, nil) // a jump of nearly all of the first subspace
	open(turn-1, nil)
	open(turn, nil)
	open(turn, ErrReplay)
	open(turn-1, ErrReplay)
	open(turn-2, nil) // of the last subspace, out of order
	open(turn+5, nil)
	open(turn-50, nil)
	open(turn-50, ErrReplay)
	open(turn+200, nil)
	open(turn-60, ErrICV) // behind the window: taken for one of the next subspace, and so not authentic
	open(2*turn-3, nil)
	open(2*turn+40, nil)
	open(2*turn-2, nil)
	open(2*turn-2, ErrReplay)
}

// wholeBlocks returns how much of a text of n octets is behind its last whole block, for a cipher
// that encrypts nothing else.
func wholeBlocks(in *Inbound, n int) int {
	if in.Align == wordLen {
		return 0
	}
	return n % int(in.Align)
}

// FuzzOpen opens arbitrary octets. Only sealed packets open, nothing panics, and failures leave no
// trace.
func FuzzOpen(f *testing.F) {
	ciphers := allCiphers()
	sas, goods := make([]*SA, len(ciphers)), make([][]byte, len(ciphers))
	for i, c := range ciphers {
		sas[i] = pair(c, i%2 == 0, 64)
		o := mustOut(f, sas[i])
		if s, ok := o.other.(separate); ok && c.ID == AESCBC { // the processes of a fuzzer must agree
			o.other = separate{cbc{s.textCipher.(cbc).block, s.textCipher.(cbc).block}, s.mac}
		}
		goods[i] = o.Seal(new(Scratch), make([]byte, 200), 1, text(40), NextIPv4)
		f.Add(uint8(i), goods[i], []byte{0x45, 1, 1, 4})
		f.Add(uint8(i), goods[i][:c.Format().least()], []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 14, 41})
	}
	f.Add(uint8(0), []byte{0xff}, []byte{})
	f.Fuzz(func(t *testing.T, which uint8, pkt, text []byte) {
		which %= uint8(len(ciphers))
		in := mustIn(t, sas[which])
		isGood := bytes.Equal(pkt, goods[which])
		text = text[:len(text)-wholeBlocks(in, len(text))]
		switch p, a := openOne(in, bytes.Clone(pkt)); {
		case p.Err == nil && !isGood:
			t.Fatalf("opened %+v", p)
		case p.Err != nil && (in.window.top.Load() != 0 || a != (Arrival{})):
			t.Fatalf("a forgery moved the window: %v, %+v", p.Err, a)
		}
		// An authentic packet may hold anything.
		p, _ := openOne(in, sealText(&in.keyed, 7, text))
		if p.Err == nil && len(p.Data) > len(text)-trailerLen {
			t.Fatalf("%d octets out of %d", len(p.Data), len(text))
		}
		if errors.Is(p.Err, ErrICV) || errors.Is(p.Err, ErrReplay) {
			t.Fatal(p.Err)
		}
	})
}
