package ike

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"culvert/ike/wire"
)

// Identity is an IKE identity as it goes into an ID payload (RFC 7296, Section 3.5), or a pattern of them in a policy.
type Identity struct {
	Type wire.IDType
	Data string // the ID payload's octets; a pattern of FQDN or RFC822 may hold '*'
}

// Bounds on what a peer may call itself and on what is printed of it.
const (
	maxFQDN        = 255  // RFC 1035, Section 2.3.4
	maxMail        = 320  // RFC 5321, Section 4.5.3.1: 64, '@', 255
	maxIdentity    = 2048 // DNs and key IDs
	maxPrintedText = 256
)

// keyIDPrefix starts the text form of an opaque ID_KEY_ID.
const keyIDPrefix = "keyid:"

// ParseIdentity reads an identity as people write it; its form gives its type: an IPv4 or IPv6 address, a name ("left.example.com"), a mail address
// ("user@example.com"), a distinguished name ("CN=left, O=Example"), or "keyid:" and hexadecimal octets. "*.example.com" and "*@example.com" are
// patterns. Errors say what to write instead.
func ParseIdentity(s string) (Identity, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Identity{}, fmt.Errorf("identity is empty: write an address, a name such as %q, or a mail address", "left.example.com")
	}
	if rest, ok := strings.CutPrefix(s, keyIDPrefix); ok {
		return parseKeyID(rest)
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return parseAddress(addr)
	}
	if looksLikeDN(s) {
		return parseDN(s)
	}
	if strings.Contains(s, "@") {
		return parseMail(s)
	}
	return parseFQDN(s)
}

func parseKeyID(digits string) (Identity, error) {
	data, err := hex.DecodeString(digits)
	if err != nil || len(data) == 0 {
		return Identity{}, fmt.Errorf("identity %s is not hexadecimal: write an even number of digits, such as keyid:c0ffee", quoted(keyIDPrefix+digits))
	}
	if len(data) > maxIdentity {
		return Identity{}, fmt.Errorf("identity keyid of %d octets is too long: %d at most", len(data), maxIdentity)
	}
	return Identity{wire.IDKeyID, string(data)}, nil
}

func parseAddress(addr netip.Addr) (Identity, error) {
	if addr.Zone() != "" {
		return Identity{}, fmt.Errorf("identity %s has a zone, which means nothing to the peer: leave %q away", addr, "%"+addr.Zone())
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return Identity{wire.IDIPv4Addr, string(addr.AsSlice())}, nil
	}
	return Identity{wire.IDIPv6Addr, string(addr.AsSlice())}, nil
}

func parseMail(s string) (Identity, error) {
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if local == "" {
		return Identity{}, fmt.Errorf("identity %s has nothing before the @: write %s for the name", quoted(s), quoted(domain))
	}
	if local != "*" && strings.ContainsAny(local, "* \t") || !isText(local) {
		return Identity{}, fmt.Errorf("identity %s has a bad part before the @: write a user, or * alone for any", quoted(s))
	}
	name, err := parseFQDN(domain)
	if err != nil {
		return Identity{}, fmt.Errorf("identity %s: after the @: %w", quoted(s), err)
	}
	if len(s) > maxMail {
		return Identity{}, fmt.Errorf("identity %s is too long: %d octets at most", quoted(s), maxMail)
	}
	return Identity{wire.IDRFC822, local + "@" + name.Data}, nil
}

func parseFQDN(s string) (Identity, error) {
	name := strings.TrimSuffix(s, ".")
	base := strings.TrimPrefix(name, "*.")
	if strings.Contains(base, "*") {
		return Identity{}, fmt.Errorf("identity %s: a * may only be the whole first part, as in *.example.com", quoted(s))
	}
	if strings.Trim(base, "0123456789.") == "" && strings.Contains(base, ".") || strings.ContainsAny(base, ":/") {
		return Identity{}, fmt.Errorf("identity %s looks like an address but is none: write one such as 192.0.2.1 or 2001:db8::1, without a prefix length or port", quoted(s))
	}
	if base == "" || len(name) > maxFQDN || !isHostname(base) {
		return Identity{}, fmt.Errorf("identity %s is no name: write letters, digits, '-', '_' and dots, %d at most, such as left.example.com", quoted(s), maxFQDN)
	}
	return Identity{wire.IDFQDN, name}, nil
}

// isHostname says whether s is dot-separated labels of letters, digits, '-' and '_'.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// IsPattern says whether the identity stands for many.
func (id Identity) IsPattern() bool {
	return (id.Type == wire.IDFQDN || id.Type == wire.IDRFC822) && strings.Contains(id.Data, "*")
}

// Matches says whether id, taken literally, is pattern or is one of those that pattern stands for. Names and mail domains are compared without regard to the case
// of ASCII letters, DNs as RFC 5280, Section 7.1 says, all else octet by octet. "*.example.com" stands for every name below example.com, at
// any depth, and not for example.com itself. An identity that holds a '*' itself, as a hostile peer may send it, matches nothing.
func (id Identity) Matches(pattern Identity) bool {
	if id.Type != pattern.Type || id.Data == "" || pattern.Data == "" || id.IsPattern() {
		return false
	}
	switch id.Type {
	case wire.IDFQDN:
		return matchName(id.Data, pattern.Data)
	case wire.IDRFC822:
		return matchMail(id.Data, pattern.Data)
	case wire.IDDERDN:
		return id.Data == pattern.Data || equalDN(id.Data, pattern.Data)
	default:
		return id.Data == pattern.Data
	}
}

func matchName(name, pattern string) bool {
	name, pattern = lowerASCII(strings.TrimSuffix(name, ".")), lowerASCII(pattern)
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(name) > len(suffix) && strings.HasSuffix(name, suffix)
	}
	return name == pattern
}

func matchMail(mail, pattern string) bool {
	at, pat := strings.LastIndexByte(mail, '@'), strings.LastIndexByte(pattern, '@')
	if at <= 0 || pat <= 0 {
		return mail == pattern
	}
	user := pattern[:pat]
	return (user == "*" || user == mail[:at]) && matchName(mail[at+1:], pattern[pat+1:])
}

// lowerASCII lowers A to Z only: Unicode's folding would make the Kelvin sign a 'k', and so one peer another.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

// String is the identity as ParseIdentity reads it, of bounded length and without control characters: peers choose what is in it.
func (id Identity) String() string {
	switch id.Type {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if addr, ok := netip.AddrFromSlice([]byte(id.Data)); ok {
			return addr.String()
		}
	case wire.IDFQDN, wire.IDRFC822:
		return printable(id.Data)
	case wire.IDDERDN:
		if text, ok := textOfDN(id.Data); ok {
			return printable(text)
		}
	case wire.IDKeyID:
		return printable(keyIDPrefix + hex.EncodeToString([]byte(id.Data)))
	}
	if id == (Identity{}) {
		return "none"
	}
	return printable(fmt.Sprintf("type %d:%x", id.Type, id.Data))
}

// payload is the ID payload that claims the identity, IDr or IDi.
func (id Identity) payload(responder bool) *wire.ID {
	return &wire.ID{Responder: responder, IDType: id.Type, Data: []byte(id.Data)}
}

// identityOf reads an ID payload that a peer sent, or says what is wrong with it (RFC 7296, Section 3.5).
func identityOf(p *wire.ID) (Identity, error) {
	id := Identity{p.IDType, string(p.Data)}
	limit := maxIdentity
	switch p.IDType {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if want := map[bool]int{true: 4, false: 16}[p.IDType == wire.IDIPv4Addr]; len(p.Data) != want {
			return Identity{}, fmt.Errorf("identification payload with an address of %d octets, want %d", len(p.Data), want)
		}
	case wire.IDFQDN:
		limit = maxFQDN
	case wire.IDRFC822:
		limit = maxMail
	case wire.IDDERDN, wire.IDDERGN, wire.IDKeyID:
	default:
		return Identity{}, fmt.Errorf("identification payload of unknown type %d", p.IDType)
	}
	if len(p.Data) == 0 || len(p.Data) > limit {
		return Identity{}, fmt.Errorf("identification payload of type %d with %d octets, want 1 to %d", p.IDType, len(p.Data), limit)
	}
	// "The string MUST NOT contain any terminators (e.g., NULL, CR, etc.)."
	if limit != maxIdentity && !isText(id.Data) {
		return Identity{}, fmt.Errorf("identification payload of type %d with control characters: %s", p.IDType, quoted(id.Data))
	}
	return id, nil
}

// isText says whether s has no ASCII control characters.
func isText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// printable is s fit for logs, terminals and JSON, whoever wrote it: all but printable characters escaped, the length bounded.
func printable(s string) string {
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

// quoted is printable in quotation marks.
func quoted(s string) string { return `"` + printable(s) + `"` }
