package guard

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Of what a packet costs here that no policy is about, such as what the tunnels receive, the look-up
// in a map is the most (docs/measurements.md). So the destination of what arrives is first compared
// with prefixes that hold all local networks: outside of them it is not looked up.

// fewBits is how short a prefix is that holds too much, so that two are taken in its place.
const fewBits = 8

// cover returns prefixes, two at most, that hold all of some sorted intervals of a family.
func cover(list []protect.Range) (out []netip.Prefix) {
	if len(list) == 0 {
		return nil
	}
	p := around(list)
	if p.Bits() >= fewBits {
		return []netip.Prefix{p}
	}
	i := 0 // of the first interval that lies, at least in part, where the next bit is set
	for around(list[:i+1]).Bits() > p.Bits() {
		i++
	}
	if i == 0 {
		return []netip.Prefix{p}
	}
	return []netip.Prefix{around(list[:i]), around(list[i:])}
}

// around returns the longest prefix that holds sorted intervals.
func around(list []protect.Range) netip.Prefix {
	first, last := list[0].First, list[len(list)-1].Last
	a, b, n := first.AsSlice(), last.AsSlice(), 0
	for i := range a {
		same := bits.LeadingZeros8(a[i] ^ b[i])
		n += same
		if same < 8 {
			break
		}
	}
	return netip.PrefixFrom(first, n).Masked()
}

// inPrefix goes on if an address in the network header is in a prefix, of which it looks at 64 bits
// at most: by 32 bits, which the kernel compares without a call.
func inPrefix(at uint32, p netip.Prefix) (out []expr.Any) {
	a := p.Addr().AsSlice()
	for n, i := min(p.Bits(), 64), 0; n > 0; n, i = n-32, i+4 {
		out = append(out, network(at+uint32(i), 4))
		if n < 32 {
			mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-n))
			out = append(out, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: mask, Xor: native(0)})
		}
		out = append(out, equal(a[i:i+4]...))
	}
	return out
}

// addCover leads what arrives for the local networks to the look-up. To ask for the family first
// would cost as much as the rest: what looks like an address in a packet of the other family is
// found out by the chain of the look-up, which then returns to the other rules.
func (m *image) addCover(b *batch) {
	for _, base := range inboundHooks {
		b.flushChain(base.name)
		for _, v6 := range families {
			at, _ := addressAt(v6, false)
			list := slices.Collect(maps.Keys(m.pieces[index(v6)]))
			sortRanges(list)
			for _, p := range cover(list) {
				b.addRule(base.name, inPrefix(at, p), jump(inbound+suffix(v6)))
			}
		}
	}
}

// inbound begins the names of the chains of the look-up.
const inbound = "inbound"

// beforeDefrag is before conntrack puts fragments together (-400), from whatever devices they came.
const beforeDefrag = -450

// inboundHooks are where it is asked whether a packet may arrive as it does. Their rules follow the
// policies (addCover).
var inboundHooks = []hooked{{"pre-before-nat", beforeDefrag}, {"pre-after-nat", -90}}

func (c *Config) addInbound(b *batch) {
	for _, v6 := range families {
		chain := inbound + suffix(v6)
		b.addChain(chain)
		b.addRule(chain, device(expr.MetaKeyIIFNAME, c.Device), accept())
		b.addRule(chain, family(v6), seq(destination(v6), byMap("in"+suffix(v6))))
	}
	for _, base := range inboundHooks {
		b.addBaseChain(base.name, "filter", unix.NF_INET_PRE_ROUTING, base.priority)
	}
}
