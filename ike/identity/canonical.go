package identity

import (
	"strings"

	"culvert/ike/wire"
)

// IsPattern reports whether the identity is a pattern, which may match more than one identity.
func (id ID) IsPattern() bool {
	switch id.Type {
	case wire.IDFQDN, wire.IDRFC822:
		return strings.Contains(id.Data, "*")
	case wire.IDDERDN:
		return isPatternDN(id.Data)
	}
	return id == Any
}

// Matches reports whether id, taken literally, equals pattern or is matched by it. Names and mail
// domains are compared without regard to the case of ASCII letters, distinguished names by RFC
// 5280, Section 7.1, and everything else octet by octet. "*.example.com" matches every name below
// example.com, at any depth, but not example.com itself. CN=*, O=Example matches every name of
// these attributes. Any matches all. A name or mail address that contains a '*', or a distinguished
// name with one as a value, which a hostile peer may send, matches nothing.
func (id ID) Matches(pattern ID) bool {
	if id.Data == "" || id.IsPattern() || pattern != Any && id.Type != pattern.Type || pattern.Data == "" {
		return false
	}
	if pattern == Any {
		return true
	}
	switch id.Type {
	case wire.IDFQDN:
		return matchName(id.Data, pattern.Data)
	case wire.IDRFC822:
		return matchMail(id.Data, pattern.Data)
	case wire.IDDERDN:
		if pattern.IsPattern() {
			return matchDN(id.Data, pattern.Data)
		}
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

// lowerASCII lowers A to Z only. Unicode's folding would turn the Kelvin sign into a 'k', and so
// make two peers one. Octets that are not UTF-8 stay as they are, for the same reason.
func lowerASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + ('a' - 'A')
		}
	}
	return string(lower)
}

// Canonical returns the form that all spellings of an identity share: what Matches takes for one,
// patterns aside. It has no case in the user name of a mail address either, which Matches compares:
// two users whose names differ in nothing else count as one.
func (id ID) Canonical() ID {
	switch id.Type {
	case wire.IDFQDN, wire.IDRFC822:
		id.Data = lowerASCII(strings.TrimSuffix(id.Data, "."))
	case wire.IDDERDN:
		if name, ok := canonicalDN(id.Data); ok {
			id.Data = name
		}
	}
	return id
}
