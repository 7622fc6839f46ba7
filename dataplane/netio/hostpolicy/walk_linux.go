package hostpolicy

import (
	"errors"
	"fmt"
)

// maxDepth is more than the kernel's limit of jumps within jumps.
const maxDepth = 32

var errDeep = errors.New("its jumps are too deep")

// A walk follows all packets of IP protocol 50 of one family through a base chain at once. It ends
// with an error at the first thing that could be done to one of them other than to accept it.
type walk struct {
	rules *ruleset
	v6    bool
	ends  map[*chain]bool // whether a packet may get to the end of a chain that was walked
	depth int

	stateful bool // a rule on the way looks at connections
}

// base walks a base chain.
func (w *walk) base(c *chain) error {
	through, err := w.chain(c)
	if err == nil && through && c.drops {
		err = errors.New("its policy is to drop")
	}
	if err != nil {
		return fmt.Errorf("table %s, chain %s: %w", c.table.name, c.name, err)
	}
	return nil
}

// chain walks a chain and reports whether a packet may get to its end.
func (w *walk) chain(c *chain) (through bool, err error) {
	if through, ok := w.ends[c]; ok {
		return through, nil
	}
	if w.depth++; w.depth > maxDepth {
		return false, errDeep
	}
	defer func() { w.depth-- }()
	open := true // a packet may come to the next rule
	for _, exprs := range c.rules {
		r := rule{walk: w, table: c.table}
		m, err := r.eval(exprs)
		if err != nil {
			return false, err
		}
		if m == never {
			continue
		}
		on := len(r.verdicts) == 0
		for _, v := range r.verdicts {
			after, end, err := w.follow(c, v)
			if err != nil {
				return false, err
			}
			on, through = on || after, through || end
		}
		if m == always && !on {
			open = false
			break
		}
	}
	through = through || open
	w.ends[c] = through
	return through, nil
}

// follow returns what a verdict within a chain leads to: whether the chain's next rule may follow,
// and whether its end may.
func (w *walk) follow(c *chain, v verdict) (after, end bool, err error) {
	switch v.code {
	case nfAccept:
		return false, false, nil
	case nftContinue:
		return true, false, nil
	case nftReturn:
		return false, true, nil
	case nftJump, nftGoto:
		to := w.rules.chains[chainKey{c.table, v.chain}]
		if to == nil {
			return false, false, errGone
		}
		through, err := w.chain(to)
		if v.code == nftJump {
			return through, false, err
		}
		return false, through, err
	}
	return false, false, errors.New("a rule may drop ESP")
}
