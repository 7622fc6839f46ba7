package wire

import (
	"strings"
	"testing"
)

// A selector of an unknown type is skipped by its length; its neighbours are kept.
func TestUnknownSelectorType(t *testing.T) {
	known := "07 06 0010 0016 0016 0a000001 0a000001"
	p := parseOne(t, PayloadTSi, "03 000000"+known+"09 00 0007 aabbcc"+known)
	if got := len(p.(*TS).Selectors); got != 2 {
		t.Errorf("got %d selectors, want 2", got)
	}
	p = parseOne(t, PayloadTSi, "01 000000 0a 00 0004")
	if got := len(p.(*TS).Selectors); got != 0 {
		t.Errorf("got %d selectors, want 0", got)
	}
}

// The caller checks the range: OPAQUE ports are a start above the end (RFC 7296, Section 3.13.1).
func TestSelectorAsItCame(t *testing.T) {
	p := parseOne(t, PayloadTSr, "01 000000 08 3a 0028 ffff 0000"+strings.Repeat("ff", 16)+strings.Repeat("00", 16))
	s := p.(*TS).Selectors[0]
	if s.StartPort != 65535 || s.EndPort != 0 || s.Protocol != 58 || s.Start.Compare(s.End) <= 0 || !s.Start.Is6() {
		t.Errorf("got %+v", s)
	}
}
