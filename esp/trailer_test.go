package esp

import (
	"errors"
	"testing"
)

func TestOpenTrailers(t *testing.T) {
	in := mustIn(t, pair(aes128, false, 0))
	long := make([]byte, 257)
	for i := range 255 {
		long[i] = byte(i + 1)
	}
	long[255], long[256] = 255, NextIPv4
	for _, c := range []struct {
		name string
		text []byte
		want error
		rest int // octets of payload
	}{
		{"empty", []byte{0, NextIPv4}, nil, 0},
		{"empty, padded", []byte{1, 2, 2, NextIPv4}, nil, 0},
		{"payload, an octet of padding", []byte{0x45, 1, 1, NextIPv4}, nil, 1},
		{"payload, no padding", []byte{0x45, 0x46, 0, NextIPv4}, nil, 2},
		{"payload, three octets of padding", []byte{0x45, 0, 0, 1, 2, 3, 3, NextIPv4}, nil, 3},
		{"payload, not aligned", []byte{0x45, 0, NextIPv4}, nil, 1},
		{"all of 255 octets of padding", long, nil, 0},
		{"pad length beyond the payload", []byte{1, 2, 3, NextIPv4}, ErrPadding, 0},
		{"pad length 255", []byte{0x45, 0, 0xff, NextIPv4}, ErrPadding, 0},
		{"padding of zeros", []byte{0x45, 0, 0, 0, 3, NextIPv4}, ErrPadding, 0},
		{"an octet of padding, not one", []byte{0x45, 2, 1, NextIPv4}, ErrPadding, 0},
		{"padding that starts late", []byte{2, 2, 2, NextIPv4}, ErrPadding, 0},
		{"padding that jumps", []byte{1, 3, 2, NextIPv4}, ErrPadding, 0},
		{"padding that falls", []byte{0x45, 2, 1, 2, NextIPv4}, ErrPadding, 0},
		{"padding from zero", []byte{0x45, 0, 1, 2, NextIPv4}, ErrPadding, 0},
		{"dummy", []byte{0x45, 1, 1, NextDummy}, ErrDummy, 1},
		{"dummy with bad padding", []byte{0x45, 9, 1, NextDummy}, ErrPadding, 0},
		{"one octet", []byte{0}, ErrShort, 0},
		{"nothing", nil, ErrShort, 0},
	} {
		p, a := openOne(in, sealText(&in.keyed, 1, c.text))
		if !errors.Is(p.Err, c.want) || len(p.Data) != c.rest {
			t.Errorf("%s: %d octets, %v; want %d, %v", c.name, len(p.Data), p.Err, c.rest, c.want)
		}
		if a.Authentic != (c.want != ErrShort) {
			t.Errorf("%s: authentic: %v", c.name, a.Authentic)
		}
		if p.Err != nil && !errors.Is(p.Err, ErrDummy) && p.Data != nil {
			t.Errorf("%s: a payload beside an error", c.name)
		}
	}
}
