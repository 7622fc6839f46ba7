package wire

import (
	"fmt"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		got  fmt.Stringer
		want string
	}{
		{PayloadSKF, "SKF"}, {PayloadType(99), "payload(99)"}, {IKEIntermediate, "IKE_INTERMEDIATE"}, {ExchangeType(1), "exchange(1)"},
		{ProtoESP, "ESP"}, {ProtocolID(77), "protocol(77)"}, {TransformADDKE7, "ADDKE7"}, {TransformType(99), "transform type(99)"},
		{IDKeyID, "ID_KEY_ID"}, {IDType(99), "ID type(99)"}, {AuthSharedKey, "Shared Key Message Integrity Code"}, {AuthMethod(99), "authentication method(99)"},
		{CertX509Signature, "X.509 Certificate - Signature"}, {CertEncoding(99), "certificate encoding(99)"}, {CFGReply, "CFG_REPLY"}, {CFGType(9), "CFG type(9)"},
		{InternalDNSDomain, "INTERNAL_DNS_DOMAIN"}, {ConfigAttributeType(999), "attribute(999)"}, {ChildSANotFound, "CHILD_SA_NOT_FOUND"},
		{NotifyType(16383), "error(16383)"}, {NotifyType(16384), "INITIAL_CONTACT"}, {NotifyType(50000), "status(50000)"}, {SPI(0xabc), "0000000000000abc"},
	} {
		if tt.got.String() != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}
