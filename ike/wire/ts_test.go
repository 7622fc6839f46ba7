package wire

import (
	"net/netip"
	"reflect"
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

// TestSelectorOctets: a TSi of two families as RFC 7296, Section 3.13.1 draws its selectors.
func TestSelectorOctets(t *testing.T) {
	hex := "02 000000 07 06 0010 0050 01bb 0a010000 0a0100ff 08 00 0028 0000 ffff 20010db8000000000000000000000001 20010db8000000000000000000000002"
	got := parseOne(t, PayloadTSi, hex)
	want := &TS{Selectors: []TrafficSelector{
		{Protocol: 6, StartPort: 80, EndPort: 443, Start: netip.MustParseAddr("10.1.0.0"), End: netip.MustParseAddr("10.1.0.255")},
		{EndPort: 65535, Start: netip.MustParseAddr("2001:db8::1"), End: netip.MustParseAddr("2001:db8::2")},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if octets := AppendPayloads(nil, []Payload{got}); string(octets[4:]) != string(unhex(t, hex)) {
		t.Errorf("appended %x", octets)
	}
	want.Responder = true
	if got := parseOne(t, PayloadTSr, hex); !reflect.DeepEqual(got, want) {
		t.Errorf("TSr: got %+v", got)
	}
}
