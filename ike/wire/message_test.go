package wire

import (
	"encoding/hex"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// unhex decodes octets with the spacing of the RFC's figures.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// captured is one line of testdata/strongswan.txt.
type captured struct {
	want  string
	first PayloadType
	inner bool // decrypted content rather than a datagram
	data  []byte
}

func loadCaptured(t testing.TB) []captured {
	t.Helper()
	text, err := os.ReadFile("testdata/strongswan.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []captured
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(fields) != 3 {
			continue
		}
		c := captured{want: fields[1], data: unhex(t, fields[2])}
		if first, ok := strings.CutPrefix(fields[0], "content "); ok {
			n, err := strconv.ParseUint(first, 10, 8)
			if err != nil {
				t.Fatal(err)
			}
			c.first, c.inner = PayloadType(n), true
		}
		out = append(out, c)
	}
	return out
}

// A real peer's messages parse, have the expected content, and are appended again octet for octet.
func TestCapturedStrongSwan(t *testing.T) {
	for _, c := range loadCaptured(t) {
		var got string
		var again []byte
		if c.inner {
			ps, err := ParsePayloads(c.first, c.data)
			if err != nil {
				t.Errorf("%s: %v", c.want, err)
				continue
			}
			got, again = FormatPayloads(ps), AppendPayloads(nil, ps)
		} else {
			m, err := Parse(c.data)
			if err != nil {
				t.Errorf("%s: %v", c.want, err)
				continue
			}
			got, again = m.String(), m.AppendTo(nil)
		}
		if got != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
		if string(again) != string(c.data) {
			t.Errorf("%s: appended again\ngot  %x\nwant %x", c.want, again, c.data)
		}
	}
}

// The fields of a captured child rekey, one by one.
func TestCapturedFields(t *testing.T) {
	var ps []Payload
	for _, c := range loadCaptured(t) {
		if c.inner && strings.HasPrefix(c.want, "N(REKEY_SA)") {
			var err error
			if ps, err = ParsePayloads(c.first, c.data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(ps) != 6 {
		t.Fatalf("got %d payloads, want 6", len(ps))
	}
	if got, want := ps[0], (&Notify{Protocol: ProtoESP, SPI: unhex(t, "3a291c00"), Kind: RekeySA}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sa := &SA{Proposals: []Proposal{{Number: 1, Protocol: ProtoESP, SPI: unhex(t, "279da973"), Transforms: []Transform{
		{Type: TransformENCR, ID: EncrAESGCM16, KeyLength: 128}, {Type: TransformKE, ID: GroupX25519}, {Type: TransformESN, ID: ESNNo},
	}}}}
	if !reflect.DeepEqual(ps[1], sa) {
		t.Errorf("got %+v, want %+v", ps[1], sa)
	}
	if got, want := sa.Proposals[0].String(), "aes128gcm16-x25519"; got != want {
		t.Errorf("proposal: got %s, want %s", got, want)
	}
	ts := ps[4].(*TS).Selectors[0]
	if got, want := ts.Start.String()+"-"+ts.End.String(), "10.1.0.0-10.1.0.255"; got != want || ts.StartPort != 0 || ts.EndPort != 65535 {
		t.Errorf("TSi: got %s ports %d-%d, want %s 0-65535", got, ts.StartPort, ts.EndPort, want)
	}
}

// No truncated message parses: the header's Length reveals it in a datagram, the payloads' lengths
// in decrypted content.
func TestEveryPrefixFails(t *testing.T) {
	for _, c := range loadCaptured(t) {
		for n := range len(c.data) {
			var err error
			if c.inner {
				_, err = ParsePayloads(c.first, c.data[:n])
			} else {
				_, err = Parse(c.data[:n])
				if n >= HeaderLen && err != nil { // the same with a matching Length
					short := append([]byte(nil), c.data[:n]...)
					short[24], short[25], short[26], short[27] = 0, 0, byte(n>>8), byte(n)
					_, err = Parse(short)
				}
			}
			wantError(t, err, InvalidSyntax, c.want+" cut to "+strconv.Itoa(n))
		}
	}
}

// A parsed message shares no memory with its datagram, except the body of SK.
func TestParseCopies(t *testing.T) {
	for _, c := range loadCaptured(t) {
		if c.inner {
			continue
		}
		data := append([]byte(nil), c.data...)
		m, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if off, ok := m.EncryptedOffset(); ok {
			if want := HeaderLen + PayloadHeaderLen; off != want {
				t.Errorf("%v: got offset %d, want %d", m, off, want)
			}
			if body := m.Payloads[0].(*Encrypted).Body; &body[0] != &data[off] {
				t.Errorf("%v: the SK body is a copy", m)
			}
			continue
		}
		clear(data)
		if string(m.AppendTo(nil)) != string(c.data) {
			t.Errorf("%v changed with its datagram", m)
		}
	}
}

func TestEncryptedOffset(t *testing.T) {
	h := Header{InitiatorSPI: 1, Exchange: IKEAuth}
	skf := Message{Header: h, Payloads: []Payload{&Notify{Kind: Cookie}, &EncryptedFragment{Number: 2, Total: 3, Body: []byte("body")}}}
	b := skf.AppendTo(nil)
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	off, ok := m.EncryptedOffset()
	if !ok || string(b[off:]) != "body" {
		t.Errorf("got offset %d %v in %d octets", off, ok, len(b))
	}
	for _, ps := range [][]Payload{nil, {&Nonce{}}} {
		if _, ok := (&Message{Payloads: ps}).EncryptedOffset(); ok {
			t.Errorf("{%s} has an encrypted offset", FormatPayloads(ps))
		}
	}
}

func TestRefusedChains(t *testing.T) {
	nonce := &Nonce{Data: make([]byte, 16)}
	sk := &Encrypted{First: PayloadNonce, Body: make([]byte, 30)}
	inner := func(ps ...Payload) []byte { return AppendPayloads(nil, ps) }
	tests := []struct {
		name   string
		b      []byte
		notify NotifyType
	}{
		{"next payload without payloads", datagram(PayloadSA, nil), InvalidSyntax},
		{"payloads without next payload", datagram(NoNextPayload, inner(nonce)), InvalidSyntax},
		{"payload header of 3 octets", datagram(PayloadNonce, []byte{0, 0, 0}), InvalidSyntax},
		{"payload length 0", datagram(PayloadVendor, []byte{0, 0, 0, 0}), InvalidSyntax},
		{"payload length 3", datagram(PayloadVendor, []byte{0, 0, 0, 3}), InvalidSyntax},
		{"payload longer than the datagram", datagram(PayloadVendor, []byte{0, 0, 0, 5}), InvalidSyntax},
		{"octets after the last payload", datagram(PayloadNonce, append(inner(nonce), 0)), InvalidSyntax},
		{"a payload after SK", datagram(PayloadSK, inner(sk, nonce)), InvalidSyntax},
		{"octets after SK", datagram(PayloadSK, append(inner(sk), 1, 2)), InvalidSyntax},
		{"SKF 2 of 2 with a next payload", datagram(PayloadSKF, inner(&EncryptedFragment{First: PayloadSA, Number: 2, Total: 2})), InvalidSyntax},
		{"257 payloads", datagram(PayloadVendor, inner(many(257)...)), InvalidSyntax},
		{"major version 3", withVersion(datagram(PayloadNonce, inner(nonce)), 0x30), InvalidMajorVersion},
		{"major version 1", withVersion(datagram(PayloadNonce, inner(nonce)), 0x10), InvalidMajorVersion},
		{"major version 0", withVersion(datagram(PayloadNonce, inner(nonce)), 0), InvalidMajorVersion},
	}
	for _, tt := range tests {
		_, err := Parse(tt.b)
		wantError(t, err, tt.notify, tt.name)
	}
	if m, err := Parse(datagram(PayloadVendor, inner(many(256)...))); err != nil || len(m.Payloads) != 256 {
		t.Errorf("256 payloads: %v", err)
	}
	for _, p := range []Payload{sk, &EncryptedFragment{Number: 1, Total: 1}} {
		_, err := ParsePayloads(p.Type(), inner(p))
		wantError(t, err, InvalidSyntax, p.Type().String()+" inside SK")
	}
}

func many(n int) []Payload {
	ps := make([]Payload, n)
	for i := range ps {
		ps[i] = &VendorID{}
	}
	return ps
}

// datagram returns an IKE_SA_INIT request with raw payloads.
func datagram(next PayloadType, payloads []byte) []byte {
	h := Header{InitiatorSPI: 1, NextPayload: next, Exchange: IKESAInit, Initiator: true, Length: uint32(HeaderLen + len(payloads))}
	return append(h.AppendTo(nil), payloads...)
}

// An empty INFORMATIONAL message has an empty SK payload.
func TestEmptyContent(t *testing.T) {
	ps, err := ParsePayloads(NoNextPayload, nil)
	if err != nil || len(ps) != 0 {
		t.Errorf("got %v, %v", ps, err)
	}
	_, err = ParsePayloads(NoNextPayload, []byte{0})
	wantError(t, err, InvalidSyntax, "an octet after nothing")
}
