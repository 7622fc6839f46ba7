package hostpolicy

import (
	"golang.org/x/sys/unix"
)

// Bounds of what is looked at. A larger ruleset counts as one that may concern ESP.
const (
	mostChains   = 1 << 14
	mostRules    = 1 << 14
	mostSets     = 1 << 14 // of a table
	mostElements = 1 << 10 // of a set that is looked into
)

// A tableKey names a table of nftables; names are unique in their family only.
type tableKey struct {
	family uint8
	name   string
}

// A chain is a chain of nftables, with its rules.
type chain struct {
	table tableKey
	name  string
	base  bool // it is at a hook
	hook  uint32
	kind  string // of a base chain: filter, nat, route
	drops bool   // the policy of a base chain is to drop
	rules [][]byte
}

type chainKey struct {
	table tableKey
	name  string
}

// A ruleset is nftables' state of a network namespace, but for the tables that are left out.
type ruleset struct {
	chains map[chainKey]*chain
	bases  []*chain
	sets   map[chainKey]*set // of the tables that were looked at
	tables map[tableKey]bool // these
}

// readRuleset reads the ruleset of the calling thread's network namespace, without inet tables of
// the names in own.
func readRuleset(own map[string]bool) (*ruleset, error) {
	r := &ruleset{chains: make(map[chainKey]*chain), sets: make(map[chainKey]*set), tables: make(map[tableKey]bool)}
	err := nftables(unix.NFT_MSG_GETCHAIN, unix.NFPROTO_UNSPEC, mostChains, nil, func(family uint8, b []byte) {
		if c := parseChain(family, b); !c.table.in(own) {
			r.chains[chainKey{c.table, c.name}] = c
		}
	})
	if isAbsent(err) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	for _, c := range r.chains {
		if c.base {
			r.bases = append(r.bases, c)
		}
	}
	if len(r.bases) == 0 {
		return r, nil
	}
	return r, nftables(unix.NFT_MSG_GETRULE, unix.NFPROTO_UNSPEC, mostRules, nil, func(family uint8, b []byte) {
		r.addRule(family, b)
	})
}

func (t tableKey) in(own map[string]bool) bool {
	return t.family == unix.NFPROTO_INET && own[t.name]
}

func parseChain(family uint8, b []byte) *chain {
	c := &chain{table: tableKey{family: family}}
	for kind, v := range attributes(b) {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			c.table.name = text(v)
		case unix.NFTA_CHAIN_NAME:
			c.name = text(v)
		case unix.NFTA_CHAIN_TYPE:
			c.kind = text(v)
		case unix.NFTA_CHAIN_POLICY:
			c.drops = number(v) != nfAccept
		case unix.NFTA_CHAIN_HOOK:
			c.base = true
			for kind, v := range attributes(v) {
				if kind == unix.NFTA_HOOK_HOOKNUM {
					c.hook = number(v)
				}
			}
		}
	}
	return c
}

// addRule adds a rule to its chain.
func (r *ruleset) addRule(family uint8, b []byte) {
	k := chainKey{table: tableKey{family: family}}
	var exprs []byte
	for kind, v := range attributes(b) {
		switch kind {
		case unix.NFTA_RULE_TABLE:
			k.table.name = text(v)
		case unix.NFTA_RULE_CHAIN:
			k.name = text(v)
		case unix.NFTA_RULE_EXPRESSIONS:
			exprs = v
		}
	}
	if c := r.chains[k]; c != nil {
		c.rules = append(c.rules, exprs)
	}
}
