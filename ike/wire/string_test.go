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
