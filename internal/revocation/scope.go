package revocation

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Tags of IssuingDistributionPoint and of the names in it (RFC 5280, Sections 5.2.5 and 4.2.1.6).
var (
	tagPoint           = asn1.Tag(0).ContextSpecific().Constructed()
	tagUserOnly        = asn1.Tag(1).ContextSpecific()
	tagCAOnly          = asn1.Tag(2).ContextSpecific()
	tagSomeReasons     = asn1.Tag(3).ContextSpecific()
	tagIndirect        = asn1.Tag(4).ContextSpecific()
	tagAttributesOnly  = asn1.Tag(5).ContextSpecific()
	tagFullName        = asn1.Tag(0).ContextSpecific().Constructed()
	tagURI             = asn1.Tag(6).ContextSpecific()
	errScope           = errors.New("has an issuing distribution point that cannot be read")
	errScopeAttributes = errors.New("is about attribute certificates")
	errScopeReasons    = errors.New("is about some reasons of revocation alone, which is not supported; name the CRL for all reasons")
	errScopeName       = errors.New("has a distribution point without a URI, which is not supported")
)

// parseScope reads an IssuingDistributionPoint. It is an error if the CRL cannot be used.
func parseScope(der []byte) (s scope, err error) {
	in := cryptobyte.String(der)
	var body cryptobyte.String
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !in.Empty() {
		return s, errScope
	}
	for last := -1; !body.Empty(); {
		var value cryptobyte.String
		var tag asn1.Tag
		if !body.ReadAnyASN1(&value, &tag) || int(tag&0x1f) <= last {
			return s, errScope
		}
		last = int(tag & 0x1f)
		if tag == tagPoint {
			s.points, err = parsePoint(value)
		} else {
			err = s.flag(tag, value)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// flag reads one of the fields beside the name.
func (s *scope) flag(tag asn1.Tag, value cryptobyte.String) error {
	if tag == tagSomeReasons {
		return errScopeReasons
	}
	if len(value) != 1 {
		return errScope
	}
	set := value[0] != 0
	switch {
	case tag == tagUserOnly:
		s.userOnly = set
	case tag == tagCAOnly:
		s.caOnly = set
	case tag == tagIndirect && set:
		return errIndirect
	case tag == tagAttributesOnly && set:
		return errScopeAttributes
	case tag != tagIndirect && tag != tagAttributesOnly:
		return errScope
	}
	return nil
}

// parsePoint returns the URIs of a DistributionPointName, of which there is at least one.
func parsePoint(in cryptobyte.String) ([]string, error) {
	var names cryptobyte.String
	if !in.ReadASN1(&names, tagFullName) {
		return nil, errScopeName
	}
	var uris []string
	for !names.Empty() {
		var name cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, errScope
		}
		if tag == tagURI {
			uris = append(uris, string(name))
		}
	}
	if len(uris) == 0 {
		return nil, errScopeName
	}
	return uris, nil
}
