package wire

import (
	"reflect"
	"strings"
	"testing"
)

// TestConfigurationOctets: a CFG_REPLY as RFC 7296, Section 3.15 draws it, with an attribute that
// no table has. The R bit is ignored, and sent as zero.
func TestConfigurationOctets(t *testing.T) {
	got := parseOne(t, PayloadCP, "02 000000 0001 0004 0a020001 800d 0008 0a020000 ffffff00 0008 0011"+strings.Repeat("20", 16)+"40 7fff 0000")
	want := &Configuration{CFGType: CFGReply, Attributes: []ConfigAttribute{
		{InternalIP4Address, []byte{10, 2, 0, 1}},
		{InternalIP4Subnet, []byte{10, 2, 0, 0, 255, 255, 255, 0}},
		{InternalIP6Address, append([]byte(strings.Repeat("\x20", 16)), 0x40)},
		{Type: 0x7fff},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	octets := AppendPayloads(nil, []Payload{&Configuration{CFGType: CFGRequest, Attributes: []ConfigAttribute{{0x8003, nil}, {InternalIP4DNS, []byte{9, 9, 9, 9}}}}})
	if want := unhex(t, "00 00 0014 01 000000 0003 0000 0003 0004 09090909"); string(octets) != string(want) {
		t.Errorf("appended %x, want %x", octets, want)
	}
}

// TestAttributeLengths: the lengths of the table of RFC 7296, Section 3.15.1, up to 20 octets.
func TestAttributeLengths(t *testing.T) {
	any := make([]int, 21)
	for n := range any {
		any[n] = n
	}
	even := []int{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20}
	for kind, valid := range map[ConfigAttributeType][]int{
		InternalIP4Address: {0, 4}, InternalIP4Netmask: {0, 4}, InternalIP4DNS: {0, 4}, InternalIP4NBNS: {0, 4}, InternalIP4DHCP: {0, 4},
		InternalIP4Subnet: {0, 8}, InternalIP6DNS: {0, 16}, InternalIP6DHCP: {0, 16}, InternalIP6Subnet: {0, 17}, InternalIP6Address: {0, 16, 17},
		SupportedAttributes: even, InternalDNSDomain: any, 30000: any,
	} {
		var got []int
		for n := range 21 {
			c := &Configuration{Attributes: []ConfigAttribute{{kind, make([]byte, n)}}}
			if _, err := ParsePayloads(PayloadCP, AppendPayloads(nil, []Payload{c})); err == nil {
				got = append(got, n)
			}
		}
		if !reflect.DeepEqual(got, valid) {
			t.Errorf("%v may have %v octets, want %v", kind, got, valid)
		}
	}
}

// TestEAPOctets: an EAP packet is kept whole (RFC 7296, Section 3.16), and its outer form is
// checked for each code.
func TestEAPOctets(t *testing.T) {
	for _, hex := range []string{"01 07 0005 01", "02 07 0006 03 1a", "03 07 0004", "04 07 0004", "05 07 0004", "00 00 0007 010203"} {
		want := &EAP{Data: unhex(t, hex)}
		got := parseOne(t, PayloadEAP, hex)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", hex, got)
		}
		if octets := AppendPayloads(nil, []Payload{got}); string(octets[4:]) != string(want.Data) {
			t.Errorf("%s: appended %x", hex, octets)
		}
	}
	for _, hex := range []string{"01 07 0004", "02 07 0004", "03 07 0005 00", "04 07 0005 00", "03 07 0005", "01 07 0006 01"} {
		_, err := ParsePayloads(PayloadEAP, lastPayload(unhex(t, hex)))
		wantError(t, err, InvalidSyntax, hex)
	}
}
