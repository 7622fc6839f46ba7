package identity

import (
	"fmt"
	"strconv"
	"strings"
)

// IsText says whether s has no ASCII control characters.
func IsText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// Printable is s fit for logs, terminals and JSON, whoever wrote it: all but Printable characters escaped, the length bounded.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		if b.Len() > maxPrintedText {
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

// Quote is Printable in quotation marks.
func Quote(s string) string { return `"` + Printable(s) + `"` }
