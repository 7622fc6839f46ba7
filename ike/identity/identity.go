// Package identity holds the identities of IKE (RFC 7296, Section 3.5): their text form, their ID
// payloads, and how an identity matches a pattern of the configuration.
package identity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"culvert/ike/wire"
)

// ID is an IKE identity (RFC 7296, Section 3.5), or a pattern of identities.
type ID struct {
	Type wire.IDType
	Data string // the octets of the ID payload; in a pattern of type FQDN, RFC822 or DN with '*'
}

// Any is the pattern that all identities match, whatever their type. No ID payload has type 0.
var Any = ID{Data: "*"}

// Bounds of identities, in octets, and of their printed form.
const (
	maxFQDN        = 255  // RFC 1035, Section 2.3.4
	maxMail        = 320  // RFC 5321, Section 4.5.3.1: 64, '@', 255
	maxIdentity    = 2048 // DNs and key IDs
	maxPrintedText = 256
)

// The text forms of an opaque ID_KEY_ID begin with these: its octets in hexadecimal, or as text.
const (
	keyIDPrefix     = "keyid:"
	keyIDTextPrefix = "keyid-text:"
)

// Parse reads the text form of an identity. The form gives the type: an IPv4 or IPv6 address, a
// name ("left.example.com"), a mail address ("user@example.com"), a distinguished name ("CN=left,
// O=Example"), or a key ID: "keyid:" and hexadecimal octets, or "keyid-text:" and text.
// "*.example.com", "*@example.com" and "CN=*, O=Example" are patterns, and so is "*", which is Any.
// Errors name the remedy.
func Parse(s string) (ID, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return ID{}, fmt.Errorf("identity is empty; use an address, a name such as %q, or a mail address", "left.example.com")
	}
	if s == Any.Data {
		return Any, nil
	}
	if rest, ok := strings.CutPrefix(s, keyIDPrefix); ok {
		return parseKeyID(rest)
	}
	if rest, ok := strings.CutPrefix(s, keyIDTextPrefix); ok {
		return keyID(rest)
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

func parseKeyID(digits string) (ID, error) {
	data, err := hex.DecodeString(digits)
	if err != nil || len(data) == 0 {
		return ID{}, fmt.Errorf("identity %s is not hexadecimal; use an even number of digits, for example keyid:c0ffee, or %s for text", Quote(keyIDPrefix+digits), keyIDTextPrefix)
	}
	return keyID(string(data))
}

// keyID returns an ID_KEY_ID of the given octets.
func keyID(octets string) (ID, error) {
	switch n := len(octets); {
	case n == 0:
		return ID{}, fmt.Errorf("identity %s is empty; use for example %sbranch-1", keyIDTextPrefix, keyIDTextPrefix)
	case octets == "*":
		return ID{}, errors.New("a key ID is compared as a whole, and a * in it stands for itself; give it in full, or * alone for any identity")
	case n > maxIdentity:
		return ID{}, fmt.Errorf("identity keyid of %d octets is too long; the limit is %d octets", n, maxIdentity)
	}
	return ID{wire.IDKeyID, octets}, nil
}

func parseAddress(addr netip.Addr) (ID, error) {
	if addr.Zone() != "" {
		return ID{}, fmt.Errorf("identity %s has a zone, which means nothing to the peer; omit %q", addr, "%"+addr.Zone())
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return ID{wire.IDIPv4Addr, string(addr.AsSlice())}, nil
	}
	return ID{wire.IDIPv6Addr, string(addr.AsSlice())}, nil
}

func parseMail(s string) (ID, error) {
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if local == "" {
		return ID{}, fmt.Errorf("identity %s has nothing before the @; use %s for the name", Quote(s), Quote(domain))
	}
	if local != "*" && strings.ContainsAny(local, "* \t") || !IsText(local) {
		return ID{}, fmt.Errorf("identity %s has an invalid part before the @; use a user name, or * alone for any", Quote(s))
	}
	name, err := parseFQDN(domain)
	if err != nil {
		return ID{}, fmt.Errorf("identity %s: after the @: %w", Quote(s), err)
	}
	if len(s) > maxMail {
		return ID{}, fmt.Errorf("identity %s is too long; the limit is %d octets", Quote(s), maxMail)
	}
	return ID{wire.IDRFC822, local + "@" + name.Data}, nil
}

func parseFQDN(s string) (ID, error) {
	name := strings.TrimSuffix(s, ".")
	base := strings.TrimPrefix(name, "*.")
	if strings.Contains(base, "*") {
		return ID{}, fmt.Errorf("identity %s has a misplaced *; it must be the whole first label, as in *.example.com", Quote(s))
	}
	if strings.Trim(base, "0123456789.") == "" && strings.Contains(base, ".") || strings.ContainsAny(base, ":/") {
		return ID{}, fmt.Errorf("identity %s looks like an IP address but is not valid; use for example 192.0.2.1 or 2001:db8::1, without a prefix length or port", Quote(s))
	}
	if base == "" || len(name) > maxFQDN || !isHostname(base) {
		return ID{}, fmt.Errorf("identity %s is not a name; use letters, digits, '-', '_' and dots, at most %d, for example left.example.com", Quote(s), maxFQDN)
	}
	return ID{wire.IDFQDN, name}, nil
}

// isHostname reports whether s consists of labels of letters, digits, '-' and '_', separated by
// dots.
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

// Apart returns the texts of two identities that differ, with their types if only those differ.
func Apart(a, b ID) (string, string) {
	if x, y := a.String(), b.String(); x != y {
		return x, y
	}
	return a.Type.String() + " " + a.String(), b.Type.String() + " " + b.String()
}

// String returns the identity as Parse reads it. Since peers choose its content, its length is
// bounded and control characters are escaped.
func (id ID) String() string {
	switch id.Type {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if addr, ok := netip.AddrFromSlice([]byte(id.Data)); ok {
			return addr.String()
		}
	case wire.IDFQDN, wire.IDRFC822:
		return Printable(id.Data)
	case wire.IDDERDN:
		if text, ok := textOfDN(id.Data); ok {
			return Printable(text)
		}
	case wire.IDKeyID:
		return Printable(keyIDPrefix + hex.EncodeToString([]byte(id.Data)))
	}
	switch id {
	case ID{}:
		return "none"
	case Any:
		return Any.Data
	}
	return Printable(fmt.Sprintf("type %d:%x", id.Type, id.Data))
}

// Payload returns the ID payload for the identity: IDr for a responder, otherwise IDi.
func (id ID) Payload(responder bool) *wire.ID {
	return &wire.ID{Responder: responder, IDType: id.Type, Data: []byte(id.Data)}
}

// FromPayload returns the identity of a peer's ID payload, or an error if it violates RFC 7296,
// Section 3.5.
func FromPayload(p *wire.ID) (ID, error) {
	id := ID{p.IDType, string(p.Data)}
	limit := maxIdentity
	switch p.IDType {
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		if want := map[bool]int{true: 4, false: 16}[p.IDType == wire.IDIPv4Addr]; len(p.Data) != want {
			return ID{}, fmt.Errorf("identification payload with an address of %d octets, want %d", len(p.Data), want)
		}
	case wire.IDFQDN:
		limit = maxFQDN
	case wire.IDRFC822:
		limit = maxMail
	case wire.IDDERDN, wire.IDDERGN, wire.IDKeyID:
	default:
		return ID{}, fmt.Errorf("identification payload of unknown type %d", p.IDType)
	}
	if len(p.Data) == 0 || len(p.Data) > limit {
		return ID{}, fmt.Errorf("identification payload of type %d with %d octets, want 1 to %d", p.IDType, len(p.Data), limit)
	}
	// "The string MUST NOT contain any terminators (e.g., NULL, CR, etc.)."
	if limit != maxIdentity && !IsText(id.Data) {
		return ID{}, fmt.Errorf("identification payload of type %d with control characters: %s", p.IDType, Quote(id.Data))
	}
	return id, nil
}
