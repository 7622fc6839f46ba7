package ike

import (
	"errors"
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// A payloadRule lists the payloads that a message must and may carry, each at most once unless it
// is repeatable. Those of together are all present or all absent. Notify and Vendor ID payloads may
// be anywhere (RFC 7296, Sections 1.2, 1.3, 1.4 and 3.12).
type payloadRule struct {
	must, may []wire.PayloadType
	together  []wire.PayloadType
}

// repeatable lists the payloads that may occur several times in one message.
var repeatable = []wire.PayloadType{wire.PayloadNotify, wire.PayloadVendor, wire.PayloadCert, wire.PayloadCertReq, wire.PayloadDelete}

var (
	ruleInit = payloadRule{
		must: []wire.PayloadType{wire.PayloadSA, wire.PayloadKE, wire.PayloadNonce},
		may:  []wire.PayloadType{wire.PayloadCertReq},
	}
	// IKE_AUTH may ask for the IKE SA alone, since we announce that (RFC 6023, Section 3).
	ruleAuthRequest = payloadRule{
		must:     []wire.PayloadType{wire.PayloadIDi, wire.PayloadAuth},
		may:      []wire.PayloadType{wire.PayloadIDr, wire.PayloadCert, wire.PayloadCertReq, wire.PayloadCP},
		together: []wire.PayloadType{wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr},
	}
	// IKE_AUTH may establish the IKE SA without the Child SA (RFC 7296, Section 1.2).
	ruleAuthResponse = payloadRule{
		must:     []wire.PayloadType{wire.PayloadIDr, wire.PayloadAuth},
		may:      []wire.PayloadType{wire.PayloadCert, wire.PayloadCP},
		together: []wire.PayloadType{wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr},
	}
	ruleCreateChild = payloadRule{
		must: []wire.PayloadType{wire.PayloadSA, wire.PayloadNonce, wire.PayloadTSi, wire.PayloadTSr},
		may:  []wire.PayloadType{wire.PayloadKE, wire.PayloadCP},
	}
	ruleRekeyIKE = payloadRule{
		must: []wire.PayloadType{wire.PayloadSA, wire.PayloadNonce, wire.PayloadKE},
	}
	ruleInformational = payloadRule{
		may: []wire.PayloadType{wire.PayloadDelete, wire.PayloadCP},
	}
)

// ruleFor returns the rule of a message, and false if the exchange type is not supported. The
// protocol of the first proposal tells the two kinds of CREATE_CHILD_SA apart.
func ruleFor(ex wire.ExchangeType, response bool, ps []wire.Payload) (payloadRule, bool) {
	switch ex {
	case wire.IKESAInit:
		return ruleInit, true
	case wire.IKEAuth:
		if response {
			return ruleAuthResponse, true
		}
		return ruleAuthRequest, true
	case wire.CreateChildSA:
		if proposesIKE(ps) {
			return ruleRekeyIKE, true
		}
		return ruleCreateChild, true
	case wire.Informational:
		return ruleInformational, true
	}
	return payloadRule{}, false
}

// proposesIKE reports whether the message proposes an IKE SA, as a rekeying of the IKE SA does.
func proposesIKE(ps []wire.Payload) bool {
	for _, p := range ps {
		if sa, ok := p.(*wire.SA); ok {
			return len(sa.Proposals) > 0 && sa.Proposals[0].Protocol == wire.ProtoIKE
		}
	}
	return false
}

// checkPayloads checks the payloads of a message (those within SK{} if it has one) against the rule
// of its exchange, before any handler sees them. An error means INVALID_SYNTAX. Unknown payloads
// are skipped if they are not critical (RFC 7296, Section 2.5); for critical ones see
// wire.UnsupportedCritical. A response that carries an error or a cookie need not carry anything
// else.
func checkPayloads(ex wire.ExchangeType, response bool, ps []wire.Payload) error {
	rule, ok := ruleFor(ex, response, ps)
	if !ok {
		return fmt.Errorf("exchange type %v is not supported", ex)
	}
	return rule.check(ex, response, ps)
}

// check returns what is wrong with the payloads of a message under the rule, or nil.
func (rule payloadRule) check(ex wire.ExchangeType, response bool, ps []wire.Payload) error {
	var count [256]int
	for _, p := range ps {
		count[p.Type()]++
		if err := rule.allow(p, count[p.Type()]); err != nil {
			return err
		}
	}
	if response && refuses(ex, ps) {
		return nil
	}
	for _, typ := range rule.must {
		if count[typ] == 0 {
			return fmt.Errorf("missing %v payload", typ)
		}
	}
	for _, typ := range rule.together {
		if (count[typ] == 0) != (count[rule.together[0]] == 0) {
			return errors.New("SA, TSi and TSr must be present together")
		}
	}
	return nil
}

// allow returns an error unless the message may have a payload of this type for the n-th time.
func (r payloadRule) allow(p wire.Payload, n int) error {
	typ := p.Type()
	if _, unknown := p.(*wire.Unknown); unknown || typ == wire.PayloadNotify || typ == wire.PayloadVendor {
		return nil
	}
	if !slices.Contains(r.must, typ) && !slices.Contains(r.may, typ) && !slices.Contains(r.together, typ) {
		return fmt.Errorf("unexpected %v payload", typ)
	}
	if n > 1 && !slices.Contains(repeatable, typ) {
		return fmt.Errorf("duplicate %v payload", typ)
	}
	return nil
}

// refuses reports whether a response carries an error notify, or in IKE_SA_INIT a cookie, instead
// of the payloads asked for. One of IKE_AUTH with AUTH establishes the IKE SA: an error in it is
// about the Child SA (RFC 7296, Section 1.2), and IDr must be there.
func refuses(ex wire.ExchangeType, ps []wire.Payload) bool {
	if _, authentic := wire.Find[*wire.Auth](ps); authentic && ex == wire.IKEAuth {
		return false
	}
	return slices.ContainsFunc(ps, func(p wire.Payload) bool {
		n, ok := p.(*wire.Notify)
		return ok && (n.Kind.IsError() || ex == wire.IKESAInit && n.Kind == wire.Cookie)
	})
}
