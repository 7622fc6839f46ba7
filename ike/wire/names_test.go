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

// The numbers of the names, compared with the IANA registry.
func TestNotifyNumbers(t *testing.T) {
	for n, want := range map[NotifyType]string{
		1: "UNSUPPORTED_CRITICAL_PAYLOAD", 34: "SINGLE_PAIR_REQUIRED", 38: "TS_UNACCEPTABLE", 47: "STATE_NOT_FOUND", 48: "TS_MAX_QUEUE",
		16396: "MOBIKE_SUPPORTED", 16404: "MULTIPLE_AUTH_SUPPORTED", 16407: "REDIRECT", 16413: "TICKET_OPAQUE", 16417: "EAP_ONLY_AUTHENTICATION",
		16418: "CHILDLESS_IKEV2_SUPPORTED", 16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED", 16430: "IKEV2_FRAGMENTATION_SUPPORTED", 16431: "SIGNATURE_HASH_ALGORITHMS",
		16434: "PUZZLE", 16437: "NO_PPK_AUTH", 16438: "INTERMEDIATE_EXCHANGE_SUPPORTED", 16440: "IP6_ALLOWED", 16442: "USE_AGGFRAG", 16444: "SA_RESOURCE_INFO",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	if NotifyType(16384).IsError() || !NotifyType(16383).IsError() {
		t.Error("errors are the types up to 16383")
	}
}
