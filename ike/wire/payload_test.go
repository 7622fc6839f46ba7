package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// lastPayload prepends a generic header without a next payload to a body.
func lastPayload(body []byte) []byte {
	return append(AppendPayloadHeader(nil, NoNextPayload, false, PayloadHeaderLen+len(body)), body...)
}

// refusedBodies are bodies of payloads, without generic header, that must be refused: each crashed
// some daemon, or has a false length.
var refusedBodies = []struct {
	name string
	typ  PayloadType
	hex  string
	text string // of the error
}{
	{"SA empty", PayloadSA, "", "no proposal"},
	{"SA header cut", PayloadSA, "00 00 00", "cut short"},
	{"proposal length 8 with SPI size 10", PayloadSA, "00 00 0008 01 01 0a 00", "SPI needs 10 octets"},
	{"proposal length 0", PayloadSA, "00 00 0000 01 01 00 00", "length 0"},
	{"proposal length 7", PayloadSA, "00 00 0007 01 01 00 00", "length 7"},
	{"proposal longer than the payload", PayloadSA, "00 00 0009 01 01 00 00", "needs 9 octets"},
	{"proposal, trailing octet", PayloadSA, "00 00 0008 01 01 00 00 00", "Last Substruc"},
	{"last proposal says more", PayloadSA, "02 00 0008 01 01 00 00", "Last Substruc"},
	{"first proposal says last", PayloadSA, "00 00 0008 01 01 00 00 00 00 0008 02 01 00 00", "Last Substruc"},
	{"fewer transforms than announced", PayloadSA, "00 00 0010 01 01 00 02 00 00 0008 01 00 0014", "1 transforms, but 2"},
	{"more transforms than announced", PayloadSA, "00 00 0018 01 01 00 01 03 00 0008 01 00 0014 00 00 0008 02 00 0005", "more transforms"},
	{"transform without count", PayloadSA, "00 00 0010 01 01 00 00 00 00 0008 01 00 0014", "more transforms"},
	{"transform length 9", PayloadSA, "00 00 0011 01 01 00 01 00 00 0009 01 00 0014 80", "attribute type needs 2"},
	{"transform attribute cut", PayloadSA, "00 00 0012 01 01 00 01 00 00 000a 01 00 0014 800e", "attribute length or value"},
	{"transform attribute longer than the transform", PayloadSA, "00 00 0014 01 01 00 01 00 00 000c 01 00 0014 000e 0004", "attribute value needs 4"},
	{"transform length 7", PayloadSA, "00 00 000f 01 01 00 01 00 00 0007 01 00 00", "length 7"},
	{"transform header cut", PayloadSA, "00 00 000b 01 01 00 01 00 00 00", "transform header cut"},
	{"last transform says more", PayloadSA, "00 00 0010 01 01 00 01 03 00 0008 01 00 0014", "Last Substruc"},
	{"KE cut", PayloadKE, "00 1f 00", "reserved"},
	{"KE empty", PayloadKE, "", "group"},
	{"IDi cut", PayloadIDi, "01 00 00", "reserved"},
	{"IDi empty", PayloadIDi, "", "ID Type"},
	{"IDr, IPv4 address of 3 octets", PayloadIDr, "01 000000 0a0000", "ID_IPV4_ADDR of 3"},
	{"IDi, IPv4 address of 0 octets", PayloadIDi, "01 000000", "ID_IPV4_ADDR of 0"},
	{"IDi, IPv6 address of 4 octets", PayloadIDi, "05 000000 0a000001", "ID_IPV6_ADDR of 4"},
	{"CERT empty", PayloadCert, "", "Cert Encoding"},
	{"CERTREQ empty", PayloadCertReq, "", "Cert Encoding"},
	{"AUTH cut", PayloadAuth, "02 0000", "reserved"},
	{"nonce of 15", PayloadNonce, strings.Repeat("00", 15), "nonce of 15 octets, want 16 to 256"},
	{"nonce of 257", PayloadNonce, strings.Repeat("00", 257), "nonce of 257"},
	{"nonce empty", PayloadNonce, "", "nonce of 0"},
	{"notify cut", PayloadNotify, "00 00 40", "Notify Message Type"},
	{"notify SPI cut", PayloadNotify, "03 04 4009 000000", "SPI needs 4"},
	{"notify SPI of 255", PayloadNotify, "03 ff 4009 00000000", "SPI needs 255"},
	{"delete of IKE with an SPI", PayloadDelete, "01 08 0001 0000000000000001", "SPI size 8"},
	{"delete of ESP without SPI size", PayloadDelete, "03 00 ffff", "SPI size 0"},
	{"delete of 65535 SPIs of no size", PayloadDelete, "00 00 ffff", "65535 SPIs"},
	{"delete of ESP, SPI size 3", PayloadDelete, "03 03 0001 000001", "SPI size 3"},
	{"delete with fewer SPIs than announced", PayloadDelete, "03 04 0002 00000001", "2 SPIs"},
	{"delete with more SPIs than announced", PayloadDelete, "03 04 0001 0000000100000002", "1 SPIs"},
	{"delete cut", PayloadDelete, "03 04 00", "Num of SPIs"},
	{"TS cut", PayloadTSi, "01 0000", "reserved"},
	{"TS count 1, none there", PayloadTSi, "01 000000", "0 selectors, but 1"},
	{"TS count 255, one there", PayloadTSr, "ff 000000 07 00 0010 0000 ffff 0a000000 0a0000ff", "1 selectors, but 255"},
	{"TS count 0, one there", PayloadTSr, "00 000000 07 00 0010 0000 ffff 0a000000 0a0000ff", "more selectors"},
	{"selector length 0", PayloadTSi, "01 000000 07 00 0000 0000 ffff 0a000000 0a0000ff", "needs -4"},
	{"selector length 3, unknown type", PayloadTSi, "01 000000 09 00 0003", "needs -1"},
	{"selector longer than the payload", PayloadTSi, "01 000000 07 00 0011 0000 ffff 0a000000 0a0000ff", "needs 13"},
	{"IPv4 selector with IPv6 length", PayloadTSi, "01 000000 07 00 0028" + "0000 ffff" + strings.Repeat("00", 32), "24 octets too many"},
	{"IPv6 selector with IPv4 length", PayloadTSi, "01 000000 08 00 0010 0000 ffff 0a000000 0a0000ff", "Starting Address needs 16"},
	{"CP cut", PayloadCP, "01 0000", "reserved"},
	{"CP attribute header cut", PayloadCP, "01 000000 0001 00", "attribute length"},
	{"CP attribute longer than the payload", PayloadCP, "01 000000 0001 0004 0a0000", "attribute value needs 4"},
	{"INTERNAL_IP4_ADDRESS of 1", PayloadCP, "01 000000 0001 0001 0a", "INTERNAL_IP4_ADDRESS of 1"},
	{"INTERNAL_IP4_ADDRESS of 2", PayloadCP, "01 000000 0001 0002 0a00", "INTERNAL_IP4_ADDRESS of 2"},
	{"INTERNAL_IP4_ADDRESS of 3", PayloadCP, "01 000000 8001 0003 0a0000", "INTERNAL_IP4_ADDRESS of 3"},
	{"INTERNAL_IP4_SUBNET of 4", PayloadCP, "02 000000 000d 0004 0a000000", "INTERNAL_IP4_SUBNET of 4"},
	{"INTERNAL_IP6_DNS of 4", PayloadCP, "02 000000 000a 0004 0a000000", "INTERNAL_IP6_DNS of 4"},
	{"INTERNAL_IP6_SUBNET of 16", PayloadCP, "02 000000 000f 0010" + strings.Repeat("00", 16), "INTERNAL_IP6_SUBNET of 16"},
	{"INTERNAL_IP6_ADDRESS of 18", PayloadCP, "02 000000 0008 0012" + strings.Repeat("00", 18), "INTERNAL_IP6_ADDRESS of 18"},
	{"SUPPORTED_ATTRIBUTES of 3", PayloadCP, "02 000000 000e 0003 000100", "SUPPORTED_ATTRIBUTES of 3"},
	{"EAP empty", PayloadEAP, "", "EAP packet of 0"},
	{"EAP of 3", PayloadEAP, "02 01 00", "EAP packet of 3"},
	{"EAP Response of 4", PayloadEAP, "02 01 0004", "without a type"},
	{"EAP Request of 4", PayloadEAP, "01 01 0004", "without a type"},
	{"EAP length too great", PayloadEAP, "02 01 0006 01", "length field is 6, the payload has 5"},
	{"EAP length too small", PayloadEAP, "02 01 0005 01 00", "length field is 5, the payload has 6"},
	{"EAP Success with data", PayloadEAP, "03 01 0005 00", "Success or Failure of 5"},
	{"SKF cut", PayloadSKF, "0001 00", "Total Fragments"},
	{"SKF 0 of 0", PayloadSKF, "0000 0000", "fragment 0 of 0"},
	{"SKF 0 of 1", PayloadSKF, "0000 0001", "fragment 0 of 1"},
	{"SKF 5 of 4", PayloadSKF, "0005 0004", "fragment 5 of 4"},
}

func TestRefusedBodies(t *testing.T) {
	for _, tt := range refusedBodies {
		_, err := Parse(datagram(tt.typ, lastPayload(unhex(t, tt.hex))))
		wantError(t, err, InvalidSyntax, tt.name)
		e := err.(*Error)
		if !strings.Contains(e.Text, tt.text) || e.Payload != tt.typ {
			t.Errorf("%s: got %q in %v, want %q in %v", tt.name, e.Text, e.Payload, tt.text, tt.typ)
		}
	}
}

// parseOne parses a single payload from its body.
func parseOne(t *testing.T, typ PayloadType, hex string) Payload {
	t.Helper()
	ps, err := ParsePayloads(typ, lastPayload(unhex(t, hex)))
	if err != nil {
		t.Fatal(err)
	}
	return ps[0]
}

// Identities of every length, some of which crashed other daemons.
func TestIdentityLengths(t *testing.T) {
	for _, n := range []int{0, 1, 520, MaxPayloadLen - 8} {
		want := &ID{Responder: true, IDType: IDKeyID, Data: clone([]byte(strings.Repeat("x", n)))}
		ps, err := ParsePayloads(PayloadIDr, AppendPayloads(nil, []Payload{want}))
		if err != nil || len(ps[0].(*ID).Data) != n {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// Reserved fields and the critical bit of known payloads are ignored, and sent as zero (RFC 7296,
// Section 2.5).
func TestReservedIgnored(t *testing.T) {
	b := unhex(t, "22 ff 0008 01 ffffff 00 ff 000c 001f ffff 01020304")
	ps, err := ParsePayloads(PayloadAuth, b)
	if err != nil {
		t.Fatal(err)
	}
	if typ, ok := UnsupportedCritical(ps); ok {
		t.Errorf("%v counts as unsupported", typ)
	}
	if got, want := AppendPayloads(nil, ps), unhex(t, "22 00 0008 01 000000 00 00 000c 001f 0000 01020304"); string(got) != string(want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// The reserved octets of an identity are kept, because the peer's AUTH covers them as received (RFC
// 7296, Section 2.15).
func TestReservedOfIdentity(t *testing.T) {
	b := unhex(t, "00 00 000c 0b aabbcc 01020304")
	ps, err := ParsePayloads(PayloadIDi, b)
	if err != nil {
		t.Fatal(err)
	}
	want := &ID{IDType: IDKeyID, Reserved: [3]byte{0xaa, 0xbb, 0xcc}, Data: []byte{1, 2, 3, 4}}
	if !reflect.DeepEqual(ps, []Payload{want}) {
		t.Errorf("got %+v, want %+v", ps[0], want)
	}
	if got := AppendPayloads(nil, ps); string(got) != string(b) {
		t.Errorf("got %x, want %x", got, b)
	}
}

func TestUnknownPayloads(t *testing.T) {
	b := unhex(t, "c8 00 0006 aabb 2b 80 0004 00 00 0005 01")
	ps, err := ParsePayloads(199, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Payload{
		&Unknown{PayloadType: 199, Body: []byte{0xaa, 0xbb}}, &Unknown{PayloadType: 200, Critical: true}, &VendorID{Data: []byte{1}},
	}
	if !reflect.DeepEqual(ps, want) {
		t.Errorf("got %s", FormatPayloads(ps))
	}
	if typ, ok := UnsupportedCritical(ps); !ok || typ != 200 {
		t.Errorf("got %v %v, want payload(200)", typ, ok)
	}
	if got := AppendPayloads(nil, ps); string(got) != string(b) {
		t.Errorf("got %x, want %x", got, b)
	}
	if got, want := FormatPayloads(ps), "payload(199), payload(200)!, V"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A caller that exceeds the width of a field has a bug, so appending panics.
func TestAppendPanicsOnItsOwnBugs(t *testing.T) {
	for name, p := range map[string]Payload{
		"payload":    &VendorID{Data: make([]byte, MaxPayloadLen)},
		"SPI":        &Notify{SPI: make([]byte, 256)},
		"transforms": &SA{Proposals: []Proposal{{Transforms: make([]Transform, 256)}}},
		"attribute":  &Configuration{Attributes: []ConfigAttribute{{Value: make([]byte, MaxPayloadLen+1)}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: too much was appended without a panic", name)
				}
			}()
			AppendPayloads(nil, []Payload{p})
		}()
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

// TestPayloadOctets: the octets of each payload of payload.go, from the figures of RFC 7296,
// Sections 3.4 to 3.12 and 3.14, and RFC 7383, Section 2.5.
func TestPayloadOctets(t *testing.T) {
	for _, tt := range []struct {
		hex  string // of the body
		want Payload
	}{
		{"001f 0000 aabb", &KE{Group: GroupX25519, Data: []byte{0xaa, 0xbb}}},
		{"02 000000 6162", &ID{IDType: IDFQDN, Data: []byte("ab")}},
		{"02 000000 6162", &ID{Responder: true, IDType: IDFQDN, Data: []byte("ab")}},
		{"01 000000 c0000201", &ID{IDType: IDIPv4Addr, Data: []byte{192, 0, 2, 1}}},
		{"05 000000" + strings.Repeat("20", 16), &ID{IDType: IDIPv6Addr, Data: []byte(strings.Repeat(" ", 16))}},
		{"04 3082", &Cert{Encoding: CertX509Signature, Data: []byte{0x30, 0x82}}},
		{"04 3082", &CertReq{Encoding: CertX509Signature, Data: []byte{0x30, 0x82}}},
		{"02 000000 77", &Auth{Method: AuthSharedKey, Data: []byte{0x77}}},
		{strings.Repeat("5a", 16), &Nonce{Data: []byte(strings.Repeat("Z", 16))}},
		{strings.Repeat("5a", 256), &Nonce{Data: []byte(strings.Repeat("Z", 256))}},
		{"03 04 4009 01020304 66", &Notify{Protocol: ProtoESP, SPI: []byte{1, 2, 3, 4}, Kind: RekeySA, Data: []byte{0x66}}},
		{"01 00 0000", &Delete{Protocol: ProtoIKE}},
		{"03 04 0002 01020304 05060708", &Delete{Protocol: ProtoESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}, {5, 6, 7, 8}}}},
		{"c8 02 0001 0102", &Delete{Protocol: 200, SPISize: 2, SPIs: [][]byte{{1, 2}}}},
		{"6162", &VendorID{Data: []byte("ab")}},
		{"6162", &Unknown{PayloadType: 200, Body: []byte("ab")}},
	} {
		body := unhex(t, tt.hex)
		if got := AppendPayloads(nil, []Payload{tt.want}); string(got) != string(lastPayload(body)) {
			t.Errorf("%v: appended %x, want %x", tt.want.Type(), got, lastPayload(body))
		}
		ps, err := ParsePayloads(tt.want.Type(), lastPayload(body))
		if err != nil || len(ps) != 1 || !reflect.DeepEqual(ps[0], tt.want) {
			t.Errorf("%v %x: got %+v, %v", tt.want.Type(), body, ps, err)
		}
	}
	for _, tt := range []struct {
		hex  string // of the payload
		want Payload
	}{
		{"23 00 0006 0102", &Encrypted{First: PayloadIDi, Body: []byte{1, 2}}},
		{"23 00 0009 0001 0002 03", &EncryptedFragment{First: PayloadIDi, Number: 1, Total: 2, Body: []byte{3}}},
		{"00 00 0009 0002 0002 03", &EncryptedFragment{Number: 2, Total: 2, Body: []byte{3}}},
	} {
		b := unhex(t, tt.hex)
		if got := AppendPayloads(nil, []Payload{tt.want}); string(got) != string(b) {
			t.Errorf("%v: appended %x, want %x", tt.want.Type(), got, b)
		}
		m, err := Parse(datagram(tt.want.Type(), b))
		if err != nil || len(m.Payloads) != 1 || !reflect.DeepEqual(m.Payloads[0], tt.want) {
			t.Errorf("%v %x: got %v, %v", tt.want.Type(), b, m, err)
		}
	}
}
