package ike

import (
	"fmt"
	"slices"

	"culvert/ike/wire"
)

// payloadRule says which payloads a message must and may carry, each at most once if it is not of the repeatable kind. Those of
// together come all or not at all. Notify and Vendor ID payloads may come anywhere (RFC 7296, Sections 1.2, 1.3, 1.4 and 3.12).
type payloadRule struct {
	must, may []wire.PayloadType
	together  []wire.PayloadType
}

// repeatable payloads may come several times in one message.
var repeatable = []wire.PayloadType{wire.PayloadNotify, wire.PayloadVendor, wire.PayloadCert, wire.PayloadCertReq, wire.PayloadDelete}

var (
	ruleInit = payloadRule{
		must: []wire.PayloadType{wire.PayloadSA, wire.PayloadKE, wire.PayloadNonce},
		may:  []wire.PayloadType{wire.PayloadCertReq},
	}
	ruleAuthRequest = payloadRule{
		must: []wire.PayloadType{wire.PayloadIDi, wire.PayloadAuth, wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr},
		may:  []wire.PayloadType{wire.PayloadIDr, wire.PayloadCert, wire.PayloadCertReq, wire.PayloadCP},
	}
	// The Child SA may fail while the IKE SA is made (RFC 7296, Section 1.2).
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

// ruleFor finds the rule. The two kinds of CREATE_CHILD_SA are told apart by the protocol that is proposed.
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

func proposesIKE(ps []wire.Payload) bool {
	for _, p := range ps {
		if sa, ok := p.(*wire.SA); ok {
			return len(sa.Proposals) > 0 && sa.Proposals[0].Protocol == wire.ProtoIKE
		}
	}
	return false
}

// checkPayloads holds the payloads of a message, those within SK{} where there is one, against the rules of its exchange, before any handler sees them. An error means
// INVALID_SYNTAX. Unknown payloads that are not critical are skipped (Section 2.5); for the others see wire.UnsupportedCritical. A response that carries
// an error, or asks for a cookie, need not carry anything else.
func checkPayloads(ex wire.ExchangeType, response bool, ps []wire.Payload) error {
	rule, ok := ruleFor(ex, response, ps)
	if !ok {
		return fmt.Errorf("exchange type %v is not supported", ex)
	}
	return rule.check(ex, response, ps)
}

// check holds the payloads of a message against the rule.
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
			return fmt.Errorf("the %v payload is missing", typ)
		}
	}
	for _, typ := range rule.together {
		if (count[typ] == 0) != (count[rule.together[0]] == 0) {
			return fmt.Errorf("the %v payload is there or missing without its fellows", typ)
		}
	}
	return nil
}

// allow says whether a payload may come here for the n-th time.
func (r payloadRule) allow(p wire.Payload, n int) error {
	typ := p.Type()
	if _, unknown := p.(*wire.Unknown); unknown || typ == wire.PayloadNotify || typ == wire.PayloadVendor {
		return nil
	}
	if !slices.Contains(r.must, typ) && !slices.Contains(r.may, typ) && !slices.Contains(r.together, typ) {
		return fmt.Errorf("the %v payload has no place in this message", typ)
	}
	if n > 1 && !slices.Contains(repeatable, typ) {
		return fmt.Errorf("the %v payload comes twice", typ)
	}
	return nil
}

// refuses says whether a response holds an error notify, or a cookie, in place of what was asked for.
func refuses(ex wire.ExchangeType, ps []wire.Payload) bool {
	return slices.ContainsFunc(ps, func(p wire.Payload) bool {
		n, ok := p.(*wire.Notify)
		return ok && (n.Kind.IsError() || ex == wire.IKESAInit && n.Kind == wire.Cookie)
	})
}
