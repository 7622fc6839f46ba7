package adversary

import (
	"bytes"
	"slices"
	"testing"

	"culvert/ike/wire"
)

// Every move has a name of its own, and changes something.
func TestMoves(t *testing.T) {
	ps := PiecesOf(&wire.ID{IDType: wire.IDFQDN, Data: []byte("left")}, &wire.Auth{Method: wire.AuthSharedKey, Data: []byte("a mac")}, &wire.Notify{Kind: 40001, Data: []byte("x")})
	names := map[string]bool{}
	first, honest := encode(ps)
	same := 0
	for _, m := range PayloadMoves(AuthRequest, ps) {
		if names[m.Name] {
			t.Errorf("two moves are named %q", m.Name)
		}
		names[m.Name] = true
		if f, b := encode(m.Pieces(clone(ps))); f == first && bytes.Equal(b, honest) {
			same++
		}
	}
	// Some values are what there was: two that are 0 already, at several places, types, the front.
	if len(names) < 180 || same > 20 {
		t.Errorf("%d moves, %d of which change nothing", len(names), same)
	}
	if _, b := encode(ps); !bytes.Equal(b, honest) {
		t.Error("a move changes the payloads of the caller")
	}
}

// Every forgery differs from the genuine datagram, but one whose field is what it should be.
func TestForgeries(t *testing.T) {
	left, right := &Peer{Config: testConfig("left", wire.EncrAESGCM16)}, &Peer{Config: testConfig("right", wire.EncrAESGCM16)}
	talk(t, right, left, left.Connect())
	genuine := left.Probe(left.Current())[0]
	before := bytes.Clone(genuine)
	var same []string
	for _, f := range Forgeries(len(genuine)) {
		for _, made := range f.Make(bytes.Clone(genuine)) {
			if bytes.Equal(made, genuine) {
				same = append(same, f.Name)
			}
		}
	}
	// The genuine one is INFORMATIONAL, and its message ID is 2.
	if want := []string{"header: exchange type 37", "header: message ID 2"}; !slices.Equal(same, want) || !bytes.Equal(genuine, before) {
		t.Errorf("what is not forged: %q, want %q", same, want)
	}
	if got := right.Receive(genuine); len(got) != 1 {
		t.Errorf("the genuine one is answered with %x", got)
	}
}

// Fragments are cut so that they join to the whole, in any order.
func TestCut(t *testing.T) {
	whole := Part{First: wire.PayloadDelete, Plain: []byte("a content of some octets")}
	for n := 1; n < 30; n++ {
		parts := Cut(whole, n)
		slices.Reverse(parts)
		var j joining
		for i, p := range parts {
			first, plain, ok := j.join(&wire.EncryptedFragment{First: p.First, Number: p.Number, Total: p.Total}, p.Plain)
			if ok != (i == len(parts)-1) || ok && (first != whole.First || !bytes.Equal(plain, whole.Plain)) {
				t.Fatalf("in parts of %d: %v %q after %d of %d", n, ok, plain, i+1, len(parts))
			}
		}
	}
}
