package identity

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"culvert/ike/wire"
)

// dnAttribute is a naming attribute under the short name that people write (RFC 4514, Section 3;
// RFC 4519).
type dnAttribute struct {
	name string
	oid  asn1.ObjectIdentifier
	ia5  bool // its syntax is IA5String, not DirectoryString
}

// dnAttributes are the known attributes. The first name of an OID is the one that is printed.
var dnAttributes = []dnAttribute{
	{name: "CN", oid: asn1.ObjectIdentifier{2, 5, 4, 3}},
	{name: "SN", oid: asn1.ObjectIdentifier{2, 5, 4, 4}},
	{name: "serialNumber", oid: asn1.ObjectIdentifier{2, 5, 4, 5}},
	{name: "C", oid: asn1.ObjectIdentifier{2, 5, 4, 6}},
	{name: "L", oid: asn1.ObjectIdentifier{2, 5, 4, 7}},
	{name: "ST", oid: asn1.ObjectIdentifier{2, 5, 4, 8}},
	{name: "S", oid: asn1.ObjectIdentifier{2, 5, 4, 8}},
	{name: "STREET", oid: asn1.ObjectIdentifier{2, 5, 4, 9}},
	{name: "O", oid: asn1.ObjectIdentifier{2, 5, 4, 10}},
	{name: "OU", oid: asn1.ObjectIdentifier{2, 5, 4, 11}},
	{name: "T", oid: asn1.ObjectIdentifier{2, 5, 4, 12}},
	{name: "postalCode", oid: asn1.ObjectIdentifier{2, 5, 4, 17}},
	{name: "G", oid: asn1.ObjectIdentifier{2, 5, 4, 42}},
	{name: "GN", oid: asn1.ObjectIdentifier{2, 5, 4, 42}},
	{name: "UID", oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}},
	{name: "DC", oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, ia5: true},
	{name: "E", oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, ia5: true},
	{name: "emailAddress", oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, ia5: true},
}

func attributeNamed(name string) (dnAttribute, bool) {
	for _, a := range dnAttributes {
		if strings.EqualFold(a.name, name) {
			return a, true
		}
	}
	return dnAttribute{}, false
}

// looksLikeDN reports whether s begins like "CN=".
func looksLikeDN(s string) bool {
	name, _, found := strings.Cut(s, "=")
	return found && name != "" && strings.IndexFunc(strings.TrimSpace(name), func(r rune) bool {
		return r > 0x7f || !isLetter(byte(r)) && !isDigit(byte(r))
	}) < 0
}

// parseDN encodes "CN=left, O=Example" as DER, in the order written, as IPsec daemons do. RFC 4514
// would reverse it.
func parseDN(s string) (ID, error) {
	var rdns pkix.RDNSequence
	for rest := s; rest != ""; {
		var part string
		part, rest = cutRDN(rest)
		rdn, err := parseRDN(part)
		if err != nil {
			return ID{}, fmt.Errorf("identity %s: %w", Quote(s), err)
		}
		rdns = append(rdns, rdn)
	}
	der, err := asn1.Marshal(rdns)
	if err != nil {
		return ID{}, fmt.Errorf("identity %s cannot be encoded: %w", Quote(s), err)
	}
	if len(der) > maxIdentity {
		return ID{}, fmt.Errorf("identity %s is too long; the limit is %d octets", Quote(s), maxIdentity)
	}
	return ID{wire.IDDERDN, string(der)}, nil
}

// cutRDN returns the first name=value of s, up to a comma that neither a backslash nor quotation
// marks protect, and what follows that comma.
func cutRDN(s string) (part, rest string) {
	quotes := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quotes = !quotes
		case s[i] == ',' && !quotes:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func parseRDN(s string) (pkix.RelativeDistinguishedNameSET, error) {
	name, value, found := strings.Cut(s, "=")
	name, value = strings.TrimSpace(name), unescapeDN(strings.TrimSpace(value))
	if !found || value == "" {
		return nil, fmt.Errorf("%s is not an attribute and a value; use for example CN=left, O=Example", Quote(strings.TrimSpace(s)))
	}
	attr, ok := attributeNamed(name)
	if !ok {
		return nil, fmt.Errorf("unknown attribute %s: use CN, O, OU, C, L, ST, DC, UID or E", Quote(name))
	}
	if !utf8.ValidString(value) || !IsText(value) {
		return nil, fmt.Errorf("the value of %s is not plain text", name)
	}
	set := pkix.RelativeDistinguishedNameSET{{Type: attr.oid, Value: value}}
	if attr.ia5 && isASCII(value) {
		set[0].Value = asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)}
	}
	return set, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}

// unescapeDN removes the quotation marks around a value, and its backslashes.
func unescapeDN(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// decodeDN decodes a DER Name that has nothing behind it.
func decodeDN(der string) (pkix.RDNSequence, bool) {
	var rdns pkix.RDNSequence
	rest, err := asn1.Unmarshal([]byte(der), &rdns)
	return rdns, err == nil && len(rest) == 0
}

// equalDN compares two Names by RFC 5280, Section 7.1: string types, the case of letters and the
// amount of white space do not matter.
func equalDN(a, b string) bool {
	x, xok := canonicalDN(a)
	y, yok := canonicalDN(b)
	return xok && yok && x == y
}

// canonicalDN returns a Name with folded values, all of them UTF8String, in DER, which puts the
// attributes of a set in order. ok is false if it is not a Name of strings.
func canonicalDN(der string) (name string, ok bool) {
	rdns, ok := decodeDN(der)
	if !ok {
		return "", false
	}
	return canonicalRDNs(rdns)
}

func canonicalRDNs(rdns pkix.RDNSequence) (name string, ok bool) {
	folded := make(pkix.RDNSequence, len(rdns))
	for i, rdn := range rdns {
		for _, a := range rdn {
			value, text := a.Value.(string)
			if !text {
				return "", false
			}
			a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(foldDN(value))}
			folded[i] = append(folded[i], a)
		}
	}
	canonical, err := asn1.Marshal(folded)
	return string(canonical), err == nil
}

// anyValue stands for any value of an attribute in a pattern.
const anyValue = "*"

// isPatternDN reports whether a Name has an attribute of any value.
func isPatternDN(der string) bool {
	if !strings.Contains(der, anyValue) {
		return false
	}
	rdns, _ := decodeDN(der)
	return slices.ContainsFunc(rdns, func(rdn pkix.RelativeDistinguishedNameSET) bool {
		return slices.ContainsFunc(rdn, func(a pkix.AttributeTypeAndValue) bool { return a.Value == anyValue })
	})
}

// matchDN reports whether a Name has the attributes of a pattern, all of them and in their order:
// each with the same value, or with any if the pattern's is a '*'.
func matchDN(der, pattern string) bool {
	name, ok := decodeDN(der)
	want, ok2 := decodeDN(pattern)
	if !ok || !ok2 || len(name) != len(want) {
		return false
	}
	for i := range want {
		if len(want[i]) == 1 && len(name[i]) == 1 && want[i][0].Value == anyValue && want[i][0].Type.Equal(name[i][0].Type) {
			continue
		}
		a, ok := canonicalRDNs(name[i : i+1])
		b, ok2 := canonicalRDNs(want[i : i+1])
		if !ok || !ok2 || a != b {
			return false
		}
	}
	return true
}

// Within reports whether a distinguished name is that of base or below it: it begins with the RDNs
// of base, compared by RFC 5280, Section 7.1. It is not sure if they may be equal by rules for
// letters beyond ASCII that are not applied here, or if one of both is malformed.
func (id ID) Within(base ID) (within, sure bool) {
	name, ok := decodeDN(id.Data)
	want, ok2 := decodeDN(base.Data)
	if !ok || !ok2 || id.Type != wire.IDDERDN || base.Type != wire.IDDERDN {
		return false, false
	}
	if len(name) < len(want) {
		return false, true
	}
	within, sure = true, true
	for i := range want {
		a, ok := canonicalRDNs(name[i : i+1])
		b, ok2 := canonicalRDNs(want[i : i+1])
		if ok && ok2 && a == b {
			continue
		}
		if ok && ok2 && isPlainDN(name[i:i+1]) && isPlainDN(want[i:i+1]) {
			return false, true
		}
		within, sure = false, false
	}
	return within, sure
}

// isPlainDN reports whether all values are printable ASCII, of which foldDN applies all rules.
func isPlainDN(rdns pkix.RDNSequence) bool {
	for _, rdn := range rdns {
		for _, a := range rdn {
			if value, _ := a.Value.(string); strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return false
			}
		}
	}
	return true
}

func foldDN(s string) string { return lowerASCII(strings.Join(strings.Fields(s), " ")) }

// textOfDN returns a DER Name as text that parseDN reads.
func textOfDN(der string) (string, bool) {
	rdns, ok := decodeDN(der)
	if !ok {
		return "", false
	}
	var parts []string
	for _, rdn := range rdns {
		for _, a := range rdn {
			parts = append(parts, textOfAttribute(a))
		}
	}
	return strings.Join(parts, ", "), true
}

func textOfAttribute(a pkix.AttributeTypeAndValue) string {
	name := a.Type.String()
	for _, known := range dnAttributes {
		if known.oid.Equal(a.Type) {
			name = known.name
			break
		}
	}
	value, ok := a.Value.(string)
	if !ok {
		value = fmt.Sprintf("%v", a.Value)
	}
	return name + "=" + escapeDN.Replace(value)
}

var escapeDN = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `"`, `\"`)
