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

// TestPrintable: what cannot be printed is escaped, and a long text is cut.
func TestPrintable(t *testing.T) {
	long := strings.Repeat("a", maxPrintedText+1)
	for in, want := range map[string]string{
		"": "", "left": "left", "M\u00fcller": "M\u00fcller", "a\nb\x7f": `a\nb\x7f`, "\xff": `\xff`, "\ufffd": "\ufffd",
		"\u202e": `\u202e`, long: long, long + "b": long + "...",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := PrintableTo("\x1b\x1babc", 5); got != `\x1b\x1b...` {
		t.Errorf("cut to %q", got)
	}
	if Quote("a\n") != `"a\n"` {
		t.Errorf("quoted as %s", Quote("a\n"))
	}
	for in, want := range map[string]bool{"": true, "a b\u00e9": true, "\x1f": false, " ": true, "a\x7f": false, "\x80": true} {
		if IsText(in) != want {
			t.Errorf("%q is text: %v", in, !want)
		}
	}
}
