package netio

import (
	"errors"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// TestFirewallThatNamesESP: ESP stays in the IP stack where a rule counts or drops it, by itself or
// in a set; rules that accept it, and those of other protocols, do not matter.
func TestFirewallThatNamesESP(t *testing.T) {
	p := newPair(t, 1)
	protocol := func() expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1} }
	header := func() expr.Any {
		return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1}
	}
	is := func(n byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{n}} }
	verdict := func(k expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: k} }
	for name, tt := range map[string]struct {
		rule []expr.Any
		want error
	}{
		"dropped":               {[]expr.Any{protocol(), is(50), verdict(expr.VerdictDrop)}, errFirewall},
		"counted by the header": {[]expr.Any{header(), is(50), &expr.Counter{}}, errFirewall},
		"accepted":              {[]expr.Any{protocol(), is(50), verdict(expr.VerdictAccept)}, nil},
		"another protocol":      {[]expr.Any{protocol(), is(51), verdict(expr.VerdictDrop)}, nil},
		"in a set":              {nil, errFirewall},
	} {
		err := p.b.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "test"})
			chain := c.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
			if tt.rule == nil {
				set := &nftables.Set{Table: table, Anonymous: true, Constant: true, KeyType: nftables.TypeInetProto}
				if err := c.AddSet(set, []nftables.SetElement{{Key: []byte{50}}, {Key: []byte{51}}}); err != nil {
					return err
				}
				tt.rule = []expr.Any{protocol(), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}, verdict(expr.VerdictDrop)}
			}
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: tt.rule})
			if err := c.Flush(); err != nil {
				return err
			}
			got := firewallNamesESP()
			c.DelTable(table)
			return errors.Join(got, c.Flush())
		})
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
