package identity

import (
	"testing"

	"culvert/ike/wire"
)

// The DN's string type may differ from ours: OpenSSL writes UTF8String, Go PrintableString.
func TestIdentityDNStringTypes(t *testing.T) {
	utf8DN := ID{wire.IDDERDN, string(unhex(t, "300f 310d 300b 0603 550403 0c04 6c656674"))}
	if !utf8DN.Matches(mustIdentity(t, "CN=left")) {
		t.Errorf("%q does not match CN=left", utf8DN)
	}
}
