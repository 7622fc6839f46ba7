package wire

import (
	"strings"
	"testing"
)

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

func TestMessageString(t *testing.T) {
	m := &Message{Header: Header{Exchange: CreateChildSA, MessageID: 3}, Payloads: []Payload{
		&SA{}, &Nonce{}, &KE{Group: GroupX25519}, &TS{}, &TS{Responder: true}, &Notify{Protocol: ProtoESP, Kind: RekeySA},
	}}
	if got, want := m.String(), "CREATE_CHILD_SA request 3 {SA, Nonce, KE(x25519), TSi, TSr, N(REKEY_SA)}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m = &Message{Header: Header{Exchange: Informational, MessageID: 1 << 31, Response: true}}
	if got, want := m.String(), "INFORMATIONAL response 2147483648 {}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := SPI(0x1f).String(), "000000000000001f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFormatPayloads(t *testing.T) {
	ps := []Payload{
		&ID{}, &ID{Responder: true}, &Cert{}, &CertReq{}, &Auth{}, &Delete{Protocol: ProtoIKE}, &Delete{Protocol: ProtoESP, SPIs: make([][]byte, 2)},
		&VendorID{}, &Configuration{CFGType: CFGSet}, &EAP{}, &Encrypted{}, &EncryptedFragment{Number: 2, Total: 5}, &Unknown{PayloadType: 200}, &Unknown{PayloadType: 200, Critical: true},
	}
	want := "IDi, IDr, CERT, CERTREQ, AUTH, D(IKE), D(ESP x2), V, CP(CFG_SET), EAP, SK, SKF(2/5), payload(200), payload(200)!"
	if got := FormatPayloads(ps); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
