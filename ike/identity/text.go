package identity

import (
	"fmt"
	"strconv"
	"strings"
)

// IsText reports whether s has no ASCII control characters.
func IsText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// Printable returns s made safe for logs, terminals and JSON: characters that are not printable are
// escaped, and the length is bounded.
func Printable(s string) string { return PrintableTo(s, maxPrintedText) }

// PrintableTo is Printable with a bound of n octets, beyond which one character and three dots
// may stand.
func PrintableTo(s string, n int) string {
	var b strings.Builder
	for i, r := range s {
		if b.Len() > n {
			return b.String() + "..."
		}
		switch {
		case r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quotedRune := strconv.QuoteRune(r)
			b.WriteString(quotedRune[1 : len(quotedRune)-1])
		}
	}
	return b.String()
}

// Quote returns Printable(s) in quotation marks.
func Quote(s string) string { return `"` + Printable(s) + `"` }
