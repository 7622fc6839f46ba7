package certificate

import (
	"crypto/x509"
	"fmt"
	"net/netip"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// maxAlternatives bounds the alternative names that are looked at.
const maxAlternatives = 256

// names returns the alternative names of a certificate that may be identities: of a name, a mail
// address or an IP address.
func names(c *x509.Certificate) (list []identity.ID) {
	for _, name := range c.DNSNames {
		list = append(list, identity.ID{Type: wire.IDFQDN, Data: name})
	}
	for _, mail := range c.EmailAddresses {
		list = append(list, identity.ID{Type: wire.IDRFC822, Data: mail})
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, identity.ID{Type: addressType(a.Unmap()), Data: string(a.Unmap().AsSlice())})
		}
	}
	return list[:min(len(list), maxAlternatives)]
}

func addressType(a netip.Addr) wire.IDType {
	if a.Is4() {
		return wire.IDIPv4Addr
	}
	return wire.IDIPv6Addr
}

// Match returns why a certificate is not for an identity, or nil: it must be one of its alternative
// names, of the same type, or its subject. Letters are compared without regard to case, and
// "Substring, wildcard, or regular expression matching MUST NOT be performed" (RFC 4945, Section
// 3.1.2).
func Match(c *x509.Certificate, id identity.ID) error {
	if id.IsPattern() || id.Data == "" {
		return fmt.Errorf("the identity %s is not that of a single peer", id)
	}
	switch id.Type {
	case wire.IDFQDN, wire.IDRFC822, wire.IDIPv4Addr, wire.IDIPv6Addr:
		for _, name := range names(c) {
			if name.Canonical() == id.Canonical() {
				return nil
			}
		}
	case wire.IDDERDN:
		subject := identity.ID{Type: wire.IDDERDN, Data: string(c.RawSubject)}
		if len(c.RawSubject) > 2 && subject.Matches(id) {
			return nil
		}
	default:
		return FaultOf(c, "an identity of type %v stands in no certificate; have the peer use one that does: %s", id.Type, namesText(c))
	}
	return FaultOf(c, "its certificate %s is not for its identity %s; it is for: %s", Name(c), id, namesText(c))
}

// DefaultID returns the identity that a side with the certificate has unless it is told another:
// its first alternative name without a wildcard, or else its subject.
func DefaultID(c *x509.Certificate) (identity.ID, bool) {
	for _, id := range names(c) {
		if !id.IsPattern() {
			return id, true
		}
	}
	return identity.ID{Type: wire.IDDERDN, Data: string(c.RawSubject)}, len(c.RawSubject) > 2
}
