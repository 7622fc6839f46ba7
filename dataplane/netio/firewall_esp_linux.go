package netio

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// errFirewall is why ESP stays in the IP stack of a host whose firewall has to do with it.
var errFirewall = errors.New("a rule of this host's firewall names ESP")

// firewallNamesESP returns an error if a rule of nftables names IP protocol 50 and does not simply
// accept it: what is taken before the IP stack would pass by that rule. Those of the older iptables
// are not seen.
func firewallNamesESP() error {
	c, err := nftables.New()
	if err != nil {
		return nil // there is no nftables
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil // likewise
	}
	for _, chain := range chains {
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			continue // it is gone
		}
		for _, r := range rules {
			if namesESP(c, r) && !accepts(r) {
				return fmt.Errorf("%w: table %s, chain %s", errFirewall, chain.Table.Name, chain.Name)
			}
		}
	}
	return nil
}

// accepts reports whether the rule's end is to accept.
func accepts(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		v, ok := e.(*expr.Verdict)
		return ok && v.Kind == expr.VerdictAccept
	})
}

// namesESP reports whether a rule compares the protocol with 50, or looks it up in a set with it.
func namesESP(c *nftables.Conn, r *nftables.Rule) bool {
	esp, protocol := []byte{protoESP}, false
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			protocol = e.Key == expr.MetaKeyL4PROTO
		case *expr.Payload:
			protocol = e.Base == expr.PayloadBaseNetworkHeader && e.Len == 1 && (e.Offset == protoOffset4 || e.Offset == protoOffset6)
		case *expr.Cmp:
			if protocol && bytes.Equal(e.Data, esp) {
				return true
			}
		case *expr.Lookup:
			set, err := c.GetSetByName(r.Table, e.SetName)
			if !protocol || err != nil {
				continue
			}
			elements, _ := c.GetSetElements(set)
			if slices.ContainsFunc(elements, func(s nftables.SetElement) bool { return bytes.Equal(s.Key, esp) }) {
				return true
			}
		}
	}
	return false
}
