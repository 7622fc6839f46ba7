package wire

import (
	"errors"
	"testing"
)

func wantError(t *testing.T, err error, notify NotifyType, what string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: got error %v, want an *Error", what, err)
	}
	if e.Notify != notify {
		t.Errorf("%s: got %v (%v), want %v", what, e.Notify, e, notify)
	}
}

// TestPlaceOfError: an error names the payload, and the octet at which reading stopped, counted
// from the start of the datagram or of the decrypted payloads.
func TestPlaceOfError(t *testing.T) {
	nonce := AppendPayloads(nil, []Payload{&Nonce{Data: make([]byte, 16)}}) // 20 octets
	chained := func(next PayloadType, body string) []byte {
		b := append([]byte(nil), nonce...)
		b[0] = byte(next)
		return append(b, lastPayload(unhex(t, body))...)
	}
	for _, tt := range []struct {
		name    string
		b       []byte
		payload PayloadType
		offset  int
		text    string
	}{
		{"the header's length", datagram(NoNextPayload, nil)[:27], NoNextPayload, 0, "IKE message, octet 0: the datagram has 27 octets, the header needs 28"},
		{"the major version", withVersion(datagram(NoNextPayload, nil), 0x30), NoNextPayload, 17, "IKE message, octet 17: major version is not 2"},
		{"the first payload's header", datagram(PayloadNonce, []byte{0, 0, 0}), NoNextPayload, 28, "IKE message, octet 28: Nonce payload header needs 4 octets, but 3 are left"},
		{"the second payload's header", datagram(PayloadNonce, append(chained(PayloadKE, "001f0000")[:20], 0, 0, 0)), NoNextPayload, 48, "IKE message, octet 48: KE payload header needs 4 octets, but 3 are left"},
		{"the first field", datagram(PayloadNonce, chained(PayloadKE, "00")), PayloadKE, 52, "KE payload, octet 52: group needs 2 octets, but 1 are left"},
		{"a later field", datagram(PayloadNonce, chained(PayloadKE, "001f 00")), PayloadKE, 54, "KE payload, octet 54: reserved field needs 2 octets, but 1 are left"},
		{"a substructure", datagram(PayloadSA, lastPayload(unhex(t, "00 00 0010 01 01 00 01 00 00 0007 01 00 0014"))), PayloadSA, 40, "SA payload, octet 40: transform length 7 is less than 8"},
		{"the second selector", datagram(PayloadTSi, lastPayload(unhex(t, "02 000000 07 00 0010 0000 ffff 0a000000 0a0000ff 08 00 0010 0000 ffff 0a000000 0a0000ff"))), PayloadTSi, 60, "TSi payload, octet 60: Starting Address needs 16 octets, but 8 are left"},
		{"what follows", datagram(PayloadNonce, append(chained(PayloadVendor, "01"), 0)), NoNextPayload, 53, "IKE message, octet 53: 1 octets too many at the end of the last payload"},
	} {
		_, err := Parse(tt.b)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if e.Payload != tt.payload || e.Offset != tt.offset || e.Error() != tt.text {
			t.Errorf("%s: %v payload, octet %d: %q, want %v, %d, %q", tt.name, e.Payload, e.Offset, e.Error(), tt.payload, tt.offset, tt.text)
		}
	}
	_, err := ParsePayloads(PayloadNonce, chained(PayloadKE, "001f 00"))
	if e := new(*Error); !errors.As(err, e) || (*e).Offset != 26 {
		t.Errorf("in decrypted payloads: %v, want octet 26", err)
	}
}
