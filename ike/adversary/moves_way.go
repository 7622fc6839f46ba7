package adversary

import (
	"encoding/binary"
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// A Forgery is what somebody on the path makes of a datagram, without any key.
type Forgery struct {
	Name string
	Make func(genuine []byte) [][]byte
}

// Before returns the move that sends the forgery before each genuine datagram.
func (f Forgery) Before() Move {
	return Move{Name: "before: " + f.Name, Before: f.all}
}

// Instead returns the move that sends the forgery in place of the genuine datagrams.
func (f Forgery) Instead() Move {
	return Move{Name: "instead: " + f.Name, Datagrams: f.all}
}

func (f Forgery) all(genuine [][]byte) (list [][]byte) {
	for _, data := range genuine {
		list = append(list, f.Make(slices.Clone(data))...)
	}
	return list
}

// Forgeries returns what may be made of a datagram of n octets: cut, longer, with bits flipped,
// with lengths that lie, with every header that a message may not have, and in the clear.
func Forgeries(n int) []Forgery {
	list := slices.Concat(cuts(n), flips(n), lies(), clear())
	one := func(f func([]byte) []byte) func([]byte) [][]byte {
		return func(data []byte) [][]byte { return [][]byte{f(data)} }
	}
	for _, m := range headerMoves() {
		list = append(list, Forgery{m.Name, one(func(data []byte) []byte { return reheaded(data, m.Header) })})
	}
	return list
}

// reheaded returns the message with a header that is changed.
func reheaded(data []byte, change func(h *wire.Header)) []byte {
	h, err := wire.ParseHeader(data)
	if err != nil {
		return data
	}
	change(&h)
	return append(appendHeader(nil, h, h.NextPayload, len(data)), data[wire.HeaderLen:]...)
}

func cuts(n int) (list []Forgery) {
	for _, to := range []int{0, 1, 8, 27, 28, 29, 32, 36, 40, n / 2, n - 16, n - 1} {
		list = append(list, Forgery{fmt.Sprintf("cut to %d", to), func(data []byte) [][]byte {
			short := data[:max(0, min(to, len(data)))]
			if len(short) < wire.HeaderLen {
				return [][]byte{short}
			}
			told := slices.Clone(short)
			binary.BigEndian.PutUint32(told[24:], uint32(len(told)))
			return [][]byte{short, told}
		}})
	}
	return append(list, Forgery{"longer", func(data []byte) [][]byte {
		told := append(slices.Clone(data), 0, 0, 0, 0)
		binary.BigEndian.PutUint32(told[24:], uint32(len(told)))
		return [][]byte{append(data, 0), told}
	}})
}

// flips changes a bit of each octet of the header and of the first payload's, and of some others.
func flips(n int) (list []Forgery) {
	for o := range n {
		if o > wire.HeaderLen+16 && o%max(1, n/16) != 0 {
			continue
		}
		list = append(list, Forgery{fmt.Sprintf("a bit of octet %d flipped", o), func(data []byte) [][]byte {
			if o < len(data) {
				data[o] ^= 1 << (o % 8)
			}
			return [][]byte{data}
		}})
	}
	return list
}

// lies changes the length fields of the header and of the first payload.
func lies() (list []Forgery) {
	for _, length := range []uint32{0, 1, 27, 28, 1<<16 + 4, 1<<31 - 1, 1<<32 - 1} {
		list = append(list, Forgery{fmt.Sprintf("the length %d in the header", length), func(data []byte) [][]byte {
			binary.BigEndian.PutUint32(data[24:], length)
			return [][]byte{data}
		}})
	}
	for _, length := range []uint16{0, 3, 4, 5, 0xffff} {
		list = append(list, Forgery{fmt.Sprintf("the length %d in the first payload", length), func(data []byte) [][]byte {
			if len(data) >= wire.HeaderLen+wire.PayloadHeaderLen {
				binary.BigEndian.PutUint16(data[wire.HeaderLen+2:], length)
			}
			return [][]byte{data}
		}})
	}
	return list
}

// clear makes messages without SK{} under the header of the genuine one.
func clear() (list []Forgery) {
	for _, c := range []struct {
		name string
		ps   []wire.Payload
	}{
		{"no payloads", nil},
		{"a Delete of the IKE SA", []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}},
		{"INVALID_SYNTAX", []wire.Payload{&wire.Notify{Kind: wire.InvalidSyntax}}},
		{"INVALID_IKE_SPI", []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}}},
		{"INVALID_MAJOR_VERSION", []wire.Payload{&wire.Notify{Kind: wire.InvalidMajorVersion}}},
		{"AUTHENTICATION_FAILED", []wire.Payload{&wire.Notify{Kind: wire.AuthenticationFailed}}},
		{"NO_PROPOSAL_CHOSEN", []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}},
		{"a critical unknown payload", []wire.Payload{&wire.Unknown{PayloadType: 200, Critical: true}}},
		{"an empty SK", []wire.Payload{&wire.Encrypted{First: wire.PayloadDelete}}},
		{"a short SK", []wire.Payload{&wire.Encrypted{First: wire.PayloadDelete, Body: make([]byte, 25)}}},
		{"an SK of zeros", []wire.Payload{&wire.Encrypted{First: wire.PayloadDelete, Body: make([]byte, 64)}}},
		{"a fragment 0 of 0", []wire.Payload{&wire.EncryptedFragment{Body: make([]byte, 40)}}},
		{"a fragment 5 of 4", []wire.Payload{&wire.EncryptedFragment{Number: 5, Total: 4, Body: make([]byte, 40)}}},
		{"a fragment 1 of 2", []wire.Payload{&wire.EncryptedFragment{First: wire.PayloadDelete, Number: 1, Total: 2, Body: make([]byte, 40)}}},
	} {
		list = append(list, Forgery{"in the clear: " + c.name, func(data []byte) [][]byte {
			h, err := wire.ParseHeader(data)
			if err != nil {
				return nil
			}
			m := wire.Message{Header: h, Payloads: c.ps}
			return [][]byte{m.AppendTo(nil)}
		}})
	}
	return list
}
