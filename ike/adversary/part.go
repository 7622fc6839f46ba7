package adversary

import (
	"culvert/ike/wire"
)

// A Part is what one datagram of a message carries: all of it in SK{}, or a fragment in SKF{} (RFC
// 7383, Section 2.5).
type Part struct {
	First         wire.PayloadType
	Number, Total uint16
	SKF           bool // SKF{} even if Total is 0
	Plain         []byte
}

// Cut returns the parts of a content in fragments of at most n octets of it.
func Cut(whole Part, n int) (list []Part) {
	rest := whole.Plain
	total := max(1, (len(rest)+n-1)/n)
	for i := range total {
		part := Part{Number: uint16(i + 1), Total: uint16(total), SKF: true, Plain: rest[:min(n, len(rest))]}
		if i == 0 {
			part.First = whole.First
		}
		rest = rest[len(part.Plain):]
		list = append(list, part)
	}
	return list
}

// joining holds the fragments of one message that have come.
type joining struct {
	first wire.PayloadType
	parts map[uint16][]byte
	total uint16
}

// join adds a fragment, and returns the whole content when the last one has come.
func (j *joining) join(f *wire.EncryptedFragment, plain []byte) (wire.PayloadType, []byte, bool) {
	if j.parts == nil || j.total != f.Total {
		j.parts, j.total = map[uint16][]byte{}, f.Total
	}
	if f.Number == 1 {
		j.first = f.First
	}
	j.parts[f.Number] = plain
	if len(j.parts) < int(j.total) {
		return 0, nil, false
	}
	whole := []byte{}
	for n := uint16(1); n <= j.total; n++ {
		whole = append(whole, j.parts[n]...)
	}
	return j.first, whole, true
}
