package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// datagram returns an IKE_SA_INIT request with raw payloads.
func datagram(next PayloadType, payloads []byte) []byte {
	h := Header{InitiatorSPI: 1, NextPayload: next, Exchange: IKESAInit, Initiator: true, Length: uint32(HeaderLen + len(payloads))}
	return append(h.AppendTo(nil), payloads...)
}

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

func withVersion(b []byte, v byte) []byte {
	b[17] = v
	return b
}

// Datagrams of 0 to 27 octets, false Length fields, any major version: the result is a typed error
// or a header, and it can be printed.
func TestHeader(t *testing.T) {
	good := datagram(NoNextPayload, nil)
	for n := range good {
		_, err := ParseHeader(good[:n])
		wantError(t, err, InvalidSyntax, "short header")
		if err.Error() == "" {
			t.Error("an error without text")
		}
	}
	for _, length := range []uint32{0, 27, 29, 1 << 31, 0xffffffff} {
		bad := bytes.Clone(good)
		binary.BigEndian.PutUint32(bad[24:], length)
		_, err := ParseHeader(bad)
		wantError(t, err, InvalidSyntax, "wrong length")
	}
	zero := bytes.Clone(good)
	clear(zero[:8])
	_, err := ParseHeader(zero)
	wantError(t, err, InvalidSyntax, "zero SPI")
	for _, v := range []byte{0, 0x10, 0x2f, 0x30, 0xff} {
		h, err := ParseHeader(withVersion(bytes.Clone(good), v))
		if err != nil || h.MajorVersion != v>>4 || h.MinorVersion != v&0xf {
			t.Errorf("version %#x: got %d.%d, %v", v, h.MajorVersion, h.MinorVersion, err)
		}
	}
	// The undefined flags: "'X' bits MUST be cleared when sending and MUST be ignored on receipt"
	// (RFC 7296, Section 3.1).
	good[19] = 0xff
	h, err := ParseHeader(good)
	if err != nil || !h.Initiator || !h.Response || !h.HigherVer {
		t.Errorf("all flags: got %+v, %v", h, err)
	}
	if got := h.AppendTo(nil)[19]; got != 0x38 {
		t.Errorf("flags sent: got %#x, want 0x38", got)
	}
}

// Texts of errors and messages hold none of the peer's octets, so that they cannot forge a log
// line.
func TestTextHoldsNoPeerOctets(t *testing.T) {
	evil := []byte("$(reboot)`id`;\n\x1b[31m%s%n")
	for _, p := range []Payload{
		&ID{IDType: IDFQDN, Data: evil}, &VendorID{Data: evil}, &Notify{Kind: NotifyType(40000), SPI: evil, Data: evil},
		&Unknown{PayloadType: 200, Critical: true, Body: evil}, &Configuration{CFGType: 9, Attributes: []ConfigAttribute{{7, evil}}},
	} {
		m := Message{Header: Header{InitiatorSPI: 1, Exchange: 240}, Payloads: []Payload{p}}
		parsed, err := Parse(m.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if s := parsed.String(); strings.ContainsAny(s, "$`;\n\x1b%") {
			t.Errorf("got %q", s)
		}
	}
}
