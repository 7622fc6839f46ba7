package wire

import "testing"

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
