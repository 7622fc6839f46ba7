package adversary

import (
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// AuthenticMoves returns the moves on what is authenticated together with the payloads: the header,
// the padding, and the fragments. What they make is genuine and wrong.
func AuthenticMoves() []Move { return slices.Concat(headerMoves(), trailerMoves(), partMoves()) }

func headerMoves() (list []Move) {
	add := func(name string, change func(h *wire.Header)) {
		list = append(list, Move{Name: "header: " + name, Header: change})
	}
	for _, ex := range []wire.ExchangeType{0, 33, wire.IKESAInit, wire.IKEAuth, wire.CreateChildSA, wire.Informational, wire.IKESessionResume, wire.IKEIntermediate, wire.IKEFollowupKE, 99, 255} {
		add(fmt.Sprintf("exchange type %d", ex), func(h *wire.Header) { h.Exchange = ex })
	}
	for _, id := range []uint32{0, 1, 2, 1<<31 - 1, 1<<32 - 1} {
		add(fmt.Sprintf("message ID %d", id), func(h *wire.Header) { h.MessageID = id })
	}
	add("message ID one more", func(h *wire.Header) { h.MessageID++ })
	add("message ID one less", func(h *wire.Header) { h.MessageID-- })
	add("the other Initiator flag", func(h *wire.Header) { h.Initiator = !h.Initiator })
	add("the other Response flag", func(h *wire.Header) { h.Response = !h.Response })
	add("both flags", func(h *wire.Header) { h.Initiator, h.Response = !h.Initiator, !h.Response })
	add("the Version flag", func(h *wire.Header) { h.HigherVer = true })
	add("minor version 15", func(h *wire.Header) { h.MinorVersion = 15 })
	add("major version 1", func(h *wire.Header) { h.MajorVersion = 1 })
	add("major version 3", func(h *wire.Header) { h.MajorVersion = 3 })
	add("SPIs exchanged", func(h *wire.Header) { h.InitiatorSPI, h.ResponderSPI = h.ResponderSPI, h.InitiatorSPI })
	add("no initiator's SPI", func(h *wire.Header) { h.InitiatorSPI = 0 })
	add("no responder's SPI", func(h *wire.Header) { h.ResponderSPI = 0 })
	add("another initiator's SPI", func(h *wire.Header) { h.InitiatorSPI ^= 1 })
	add("another responder's SPI", func(h *wire.Header) { h.ResponderSPI ^= 1 })
	return list
}

func trailerMoves() (list []Move) {
	for _, t := range []struct {
		name    string
		trailer []byte
	}{
		{"none", []byte{}}, {"a length of 1 beyond it", []byte{1}}, {"a length of 255 beyond it", []byte{255}},
		{"255 octets of it", append(make([]byte, 255), 255)}, {"octets that are not zero", []byte{9, 8, 7, 3}},
		{"a length of all", append(make([]byte, 40), 255)},
	} {
		list = append(list, Move{Name: "padding: " + t.name, Trailer: t.trailer})
	}
	return list
}

// part returns a fragment.
func part(whole Part, number, total uint16, plain []byte) Part {
	return Part{First: whole.First, Number: number, Total: total, SKF: true, Plain: plain}
}

func partMoves() []Move {
	move := func(name string, parts func(whole Part) []Part) Move {
		return Move{Name: "fragments: " + name, Parts: parts}
	}
	numbered := func(number, total uint16) Move {
		return move(fmt.Sprintf("%d of %d", number, total), func(w Part) []Part { return []Part{part(w, number, total, w.Plain)} })
	}
	return []Move{
		numbered(0, 0), numbered(0, 1), numbered(1, 0), numbered(5, 4), numbered(1, 65535), numbered(65535, 65535), numbered(1, 1),
		move("of one octet", func(w Part) []Part { return Cut(w, 1) }),
		move("of 16 octets", func(w Part) []Part { return Cut(w, 16) }),
		move("in reverse", func(w Part) []Part { l := Cut(w, 20); slices.Reverse(l); return l }),
		move("twice", func(w Part) []Part { l := Cut(w, 20); return append(l, l...) }),
		move("each twice, with other content", func(w Part) (list []Part) {
			for _, p := range Cut(w, 20) {
				other := p
				other.Plain = make([]byte, len(p.Plain))
				list = append(list, p, other)
			}
			return list
		}),
		move("without the first", func(w Part) []Part { return Cut(w, 20)[1:] }),
		move("without the last", func(w Part) []Part { l := Cut(w, 20); return l[:len(l)-1] }),
		move("a total that grows", func(w Part) []Part {
			l := Cut(w, 20)
			for i := range l {
				l[i].Total += uint16(i)
			}
			return l
		}),
		move("a total that shrinks", func(w Part) []Part {
			l := Cut(w, 20)
			for i := range l {
				l[i].Total = uint16(max(i+1, len(l)-i))
			}
			return l
		}),
		move("the first type in each", func(w Part) []Part {
			l := Cut(w, 20)
			for i := range l {
				l[i].First = wire.PayloadDelete
			}
			return l
		}),
		move("no type in the first", func(w Part) []Part { l := Cut(w, 20); l[0].First = 0; return l }),
		move("empty ones between", func(w Part) (list []Part) {
			l := Cut(w, 20)
			for i, p := range l {
				p.Number, p.Total = uint16(2*i+1), uint16(2*len(l))
				list = append(list, p, part(Part{}, p.Number+1, p.Total, nil))
			}
			return list
		}),
		move("a fragment, then the whole", func(w Part) []Part { return []Part{Cut(w, 20)[0], w} }),
		move("300 of them", func(w Part) (list []Part) {
			for i := range uint16(300) {
				list = append(list, part(Part{First: w.First}, i+1, 300, make([]byte, 100)))
			}
			return list
		}),
		move("beyond what is kept", func(w Part) (list []Part) {
			for i := range uint16(120) {
				list = append(list, part(Part{First: w.First}, i+1, 121, make([]byte, 1200)))
			}
			return list
		}),
	}
}
