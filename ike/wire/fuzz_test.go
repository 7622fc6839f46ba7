package wire

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// FuzzParse: no input panics, every error is an *Error, and a parsed message is a fixed point of
// append and parse.
func FuzzParse(f *testing.F) {
	for _, c := range loadCaptured(f) {
		if c.inner {
			c.data = datagram(c.first, c.data)
		}
		f.Add(c.data)
	}
	for _, tt := range refusedBodies {
		f.Add(datagram(tt.typ, lastPayload(unhex(f, tt.hex))))
	}
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 10 {
		f.Add(g.message().AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Error() == "" || m != nil {
				t.Fatalf("got %v with error %v", m, err)
			}
			return
		}
		once := m.AppendTo(nil)
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%v: appended, it fails: %v", m, err)
		}
		if got, want := again.String(), m.String(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		if twice := again.AppendTo(nil); string(twice) != string(once) {
			t.Fatalf("no fixed point:\nonce  %x\ntwice %x", once, twice)
		}
		for _, p := range m.Payloads {
			if sa, ok := p.(*SA); ok {
				for _, proposal := range sa.Proposals {
					_ = proposal.String()
				}
			}
		}
	})
}
