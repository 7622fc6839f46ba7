package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
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

// SA_RESOURCE_INFO and TS_MAX_QUEUE as in RFC 9611, Section 5: no protocol, no SPI, and the first
// with or without data. A protocol and an SPI must be parsed as well; whether they are ignored is
// for the user of the notify to decide.
func TestResourceNotifies(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       Notify
	}{
		{"of no resource", "00 00 403c", Notify{Kind: SAResourceInfo}},
		{"of the fourth", "00 00 403c 00000003", Notify{Kind: SAResourceInfo, Data: []byte{0, 0, 0, 3}}},
		{"with an SPI", "03 04 403c c0ffee01 6370752d33", Notify{Protocol: ProtoESP, SPI: []byte{0xc0, 0xff, 0xee, 1}, Kind: SAResourceInfo, Data: []byte("cpu-3")}},
		{"no more", "00 00 0030", Notify{Kind: TSMaxQueue}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := unhex(t, tt.body)
			payload := append([]byte{0, 0, 0, byte(4 + len(body))}, body...)
			ps, err := ParsePayloads(PayloadNotify, payload)
			if err != nil || len(ps) != 1 || !reflect.DeepEqual(ps[0], &tt.want) {
				t.Fatalf("got %v, %v, want %+v", ps, err, tt.want)
			}
			if got := AppendPayloads(nil, ps); !bytes.Equal(got, payload) {
				t.Errorf("appended %x, want %x", got, payload)
			}
			for n := range len(payload) {
				if _, err := ParsePayloads(PayloadNotify, payload[:n]); err == nil && n > 0 {
					t.Errorf("the first %d octets parse", n)
				}
			}
		})
	}
}
