package adversary

import (
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// PayloadMoves returns the moves on the payloads of a message in a stage, which is honestly the
// given one: each payload is withheld, doubled, brought to the front, renumbered, emptied, cut,
// lengthened and lied about, and each octet of its structure is changed.
func PayloadMoves(stage Stage, ps []Piece) (list []Move) {
	for i, p := range ps {
		what := fmt.Sprintf("%v (%d)", p.Type, i)
		list = append(list, onePayload(stage, what, i, p)...)
		for o := range min(structure(p.Type), len(p.Body)) {
			list = append(list, oneOctet(what, i, o)...)
		}
	}
	return append(list, allPayloads()...)
}

// structure is how many octets of a payload's body are fields and lengths; the rest is data.
func structure(t wire.PayloadType) int {
	switch t {
	case wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr, wire.PayloadDelete:
		return 1 << 16
	case wire.PayloadNotify, wire.PayloadCert:
		return 8
	case wire.PayloadNonce:
		return 0
	}
	return 4
}

// onPiece is a move on one payload.
func onPiece(name string, i int, change func(p *Piece)) Move {
	return Move{Name: name, Pieces: func(ps []Piece) []Piece {
		if i < len(ps) {
			change(&ps[i])
		}
		return ps
	}}
}

func onePayload(stage Stage, what string, i int, p Piece) (list []Move) {
	withhold := Move{Name: what + " withheld", Want: withheld(stage, p.Type), Pieces: func(ps []Piece) []Piece { return slices.Delete(ps, i, i+1) }}
	double := Move{Name: what + " twice", Pieces: func(ps []Piece) []Piece { return slices.Insert(ps, i, clone(ps[i:i+1])...) }}
	if once(p.Type) && stage.Protected() {
		double.Want = wire.InvalidSyntax
	}
	front := Move{Name: what + " first", Pieces: func(ps []Piece) []Piece {
		return slices.Insert(slices.Delete(slices.Clone(ps), i, i+1), 0, ps[i])
	}}
	list = append(list, withhold, double, front)
	for t := wire.PayloadSA; t <= wire.PayloadPuzzle; t++ {
		list = append(list, onPiece(fmt.Sprintf("%s as type %d", what, t), i, func(p *Piece) { p.Type = t }))
	}
	list = append(list,
		onPiece(what+" as an unknown type", i, func(p *Piece) { p.Type = 200 }),
		onPiece(what+" critical, which is ignored of known types", i, func(p *Piece) { p.Flags = Critical }),
		onPiece(what+" with reserved bits", i, func(p *Piece) { p.Flags = 0x7f }),
		onPiece(what+" empty", i, func(p *Piece) { p.Body = nil }),
		onPiece(what+" cut by one", i, func(p *Piece) { p.Body = p.Body[:max(0, len(p.Body)-1)] }),
		onPiece(what+" cut to half", i, func(p *Piece) { p.Body = p.Body[:len(p.Body)/2] }),
		onPiece(what+" longer by one", i, func(p *Piece) { p.Body = append(p.Body, 0) }),
		onPiece(what+" longer by 300", i, func(p *Piece) { p.Body = append(p.Body, make([]byte, 300)...) }),
		onPiece(what+" of zeros", i, func(p *Piece) { p.Body = make([]byte, len(p.Body)) }),
	)
	for _, length := range []int{0, 3, 4, 0xffff} {
		list = append(list, onPiece(fmt.Sprintf("%s with the length %d", what, length), i, func(p *Piece) { p.Lie = length - wire.PayloadHeaderLen - len(p.Body) }))
	}
	for _, lie := range []int{-1, 1} {
		list = append(list, onPiece(fmt.Sprintf("%s with a length that lies by %d", what, lie), i, func(p *Piece) { p.Lie = lie }))
	}
	return list
}

// once reports whether a message may have a payload of the type once only.
func once(t wire.PayloadType) bool {
	return t != wire.PayloadNotify && t != wire.PayloadVendor && t != wire.PayloadCert && t != wire.PayloadCertReq && t != wire.PayloadDelete
}

// withheld returns how a request without such a payload is refused.
func withheld(stage Stage, t wire.PayloadType) wire.NotifyType {
	switch {
	case !stage.Protected() || t == wire.PayloadNotify || t == wire.PayloadDelete || t == wire.PayloadCert:
		return 0
	case t == wire.PayloadAuth:
		return wire.AuthenticationFailed // it asks for EAP (RFC 7296, Section 2.16)
	}
	return wire.InvalidSyntax
}

// changes are what one octet is changed to.
var changes = []struct {
	name string
	to   func(byte) byte
}{
	{"0", func(byte) byte { return 0 }}, {"255", func(byte) byte { return 255 }},
	{"one more", func(b byte) byte { return b + 1 }}, {"one less", func(b byte) byte { return b - 1 }},
}

// oneOctet changes an octet of a payload's body.
func oneOctet(what string, i, o int) (list []Move) {
	for _, c := range changes {
		list = append(list, onPiece(fmt.Sprintf("%s with %s in octet %d", what, c.name, o), i, func(p *Piece) {
			if o < len(p.Body) {
				p.Body[o] = c.to(p.Body[o])
			}
		}))
	}
	return list
}

// allPayloads are moves on the payloads together.
func allPayloads() []Move {
	add := func(front bool, more ...Piece) func([]Piece) []Piece {
		return func(ps []Piece) []Piece {
			if front {
				return append(clone(more), ps...)
			}
			return append(ps, clone(more)...)
		}
	}
	many := func(n int, p Piece) []Piece { return slices.Repeat([]Piece{p}, n) }
	vendor := Piece{Type: wire.PayloadVendor, Body: []byte("$(reboot)\x1b[2J%s%n\n")}
	status := PiecesOf(&wire.Notify{Kind: 40000, Data: []byte("?")})[0]
	failure := PiecesOf(&wire.Notify{Kind: 3000})[0]
	return []Move{
		{Name: "no payloads", Pieces: func([]Piece) []Piece { return nil }},
		{Name: "payloads in reverse", Pieces: func(ps []Piece) []Piece { slices.Reverse(ps); return ps }},
		{Name: "a critical unknown payload first", Pieces: add(true, Piece{Type: 200, Flags: Critical}), Want: wire.UnsupportedCriticalPayload},
		{Name: "a critical unknown payload last", Pieces: add(false, Piece{Type: 32, Flags: Critical, Body: []byte("x")}), Want: wire.UnsupportedCriticalPayload},
		{Name: "an unknown payload", Pieces: add(true, Piece{Type: 200, Body: []byte("x")})},
		{Name: "300 vendor IDs", Pieces: add(true, many(300, vendor)...)},
		{Name: "300 unknown notifies", Pieces: add(false, many(300, status)...)},
		{Name: "an unknown error notify", Pieces: add(false, failure)},
		{Name: "SK inside", Pieces: add(false, Piece{Type: wire.PayloadSK, Body: make([]byte, 40)})},
		{Name: "all payloads twice", Pieces: func(ps []Piece) []Piece { return append(ps, clone(ps)...) }},
	}
}
