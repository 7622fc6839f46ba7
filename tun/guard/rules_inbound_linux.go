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

// For an inbound packet that no policy concerns, such as those of the tunnels, the look-up in a map
// is the largest cost (docs/measurements.md). The destination is therefore first compared with
// prefixes that contain all local networks, and looked up only inside of them.

// fewBits is the length below which one prefix is too wide, and is replaced by two.
const fewBits = 8

// cover returns at most two prefixes that contain all of the sorted intervals of a family.
func cover(list []protect.Range) (out []netip.Prefix) {
	if len(list) == 0 {
		return nil
	}
	p := around(list)
	if p.Bits() >= fewBits {
		return []netip.Prefix{p}
	}
	i := 0 // index of the first interval with addresses in which the next bit is set
	for around(list[:i+1]).Bits() > p.Bits() {
		i++
	}
	if i == 0 {
		return []netip.Prefix{p}
	}
	return []netip.Prefix{around(list[:i]), around(list[i:])}
}

// around returns the longest prefix that contains the sorted intervals.
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

// inPrefix matches an address in the network header by the first 64 bits of a prefix at most. It
// compares 32 bits at a time, which the kernel does without a call.
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

// addCover adds the rules that lead packets for the local networks to the look-up. They do not
// match the family first, which would cost as much as the rest: if octets of the other family's
// header look like an address, the chain of the look-up detects it and returns to the next rules.
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

// inbound is the prefix of the names of the look-up's chains.
const inbound = "inbound"

// beforeDefrag is before conntrack reassembles fragments (-400), which may come by several devices.
const beforeDefrag = -450

// inboundHooks are the base chains for inbound packets. Their rules follow the policies (addCover).
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
