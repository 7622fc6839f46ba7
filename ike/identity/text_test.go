package identity

import (
	"strings"
	"testing"

	"culvert/ike/wire"
)

func TestIdentityStringIsHarmless(t *testing.T) {
	for _, data := range []string{"a\x1b[2Jb", "a\nb", "\u202eevil", "%s%n", "$(reboot);`id`", "\xff\xfe", strings.Repeat("\x00", 5000)} {
		for _, typ := range []wire.IDType{wire.IDIPv4Addr, wire.IDFQDN, wire.IDRFC822, wire.IDIPv6Addr, wire.IDDERDN, wire.IDKeyID, 77} {
			s := ID{typ, data}.String()
			if !IsText(s) || strings.Contains(s, "\u202e") || len(s) > maxPrintedText+20 {
				t.Errorf("type %d, %q printed as %q", typ, data, s)
			}
		}
	}
}
