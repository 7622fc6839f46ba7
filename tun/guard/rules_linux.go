package guard

import (
	"math"
	"strconv"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// purpose is one of the look-ups of a flow. The map leads from a local address to a chain, one for
// each set of groups that have it, which asks for the remote one and ends at the target.
type purpose struct {
	name          string
	only          func(v6 bool) bool // the families that it is for; nil: both
	local, remote func(v6 bool) expr.Any
	target        string
}

// The chains at which flows end.
const (
	dropOut  = "drop-out"
	dropIn   = "drop-in"
	refuseIn = "refuse-in" // the end of dropIn
	dropICMP = "drop-icmp"
	markICMP = "mark-icmp"
)

// Names of the counters.
const (
	counterOut  = "out"
	counterIn   = "in"
	counterICMP = "icmp"
)

// told is the purpose of errors' quotations. What its map leads on and the sets do not hold passes.
const told = "told"

func isV6(v6 bool) bool { return v6 }

var purposes = []purpose{
	{"out", nil, source, destination, dropOut},
	{"in", nil, destination, source, dropIn},
	// What an ICMP error tells us of; that of a bypassed flow may come from wherever its path leads.
	{told, nil, quotedSource, quotedDestination, refuseIn},
	{"icmp", nil, quotedDestination, quotedSource, dropICMP},
	// A redirect goes to the source of the packet that it quotes.
	{"redirect", isV6, redirectedTo, destination, dropICMP},
	{"mark", nil, quotedDestination, quotedSource, markICMP},
}

// each calls f for the purposes that there are in a family.
func (c *Config) each(v6 bool, f func(p *purpose)) {
	_, canMark := c.Mark.Errors()
	for i := range purposes {
		p := &purposes[i]
		if p.only != nil && !p.only(v6) || p.target == markICMP && !canMark {
			continue
		}
		f(p)
	}
}

func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}

// mapName names the map of a purpose: "out4".
func (p *purpose) mapName(v6 bool) string { return p.name + suffix(v6) }

// chainName names the chain of a purpose for the n-th set of groups: "out4-1".
func (p *purpose) chainName(v6 bool, n int) string { return p.mapName(v6) + "-" + strconv.Itoa(n) }

// groupPrefix begins the names of the groups' sets.
const groupPrefix = "group"

// setName names the set of a chunk of a group: "group1-1".
func setName(group, chunk int) string {
	return groupPrefix + strconv.Itoa(group) + "-" + strconv.Itoa(chunk)
}

// ICMP errors: the types that quote a packet. Redirects of IPv6 have a form of their own.
var (
	errorTypes4 = []byte{3, 4, 5, 11, 12}
	errorTypes6 = []byte{1, 2, 3, 4}
)

const (
	redirect4 = 5
	redirect6 = 137
)

func errorTypes(v6 bool) []byte {
	if v6 {
		return errorTypes6
	}
	return errorTypes4
}

var families = []bool{false, true}

// addRules puts what does not depend on the policies into a batch.
func (c *Config) addRules(b *batch) {
	for _, v6 := range families {
		c.each(v6, func(p *purpose) { b.addSet(p.mapName(v6), v6, true) })
	}
	c.addWhose(b)
	c.addTargets(b)
	c.addOutbound(b)
	c.addInbound(b)
	if _, ok := c.Mark.Errors(); ok {
		c.addErrors(b)
	}
}

func (c *Config) addTargets(b *batch) {
	for _, t := range []struct{ chain, counter string }{{dropOut, counterOut}, {refuseIn, counterIn}, {dropICMP, counterICMP}} {
		b.addChain(t.chain)
		switch t.chain {
		case dropOut:
			b.addRule(t.chain, device(expr.MetaKeyOIFNAME, "lo"), accept())
			b.addNeighbours(dropOut, fromThisHost())
		case dropICMP:
			b.addRule(t.chain, device(expr.MetaKeyOIFNAME, "lo"), accept())
		}
		b.addRule(t.chain, count(t.counter))
		c.askWhose(b, t.chain)
		b.addRule(t.chain, drop())
	}
	b.addChain(dropIn)
	b.addRule(dropIn, device(expr.MetaKeyIIFNAME, "lo"), accept())
	b.addNeighbours(dropIn, toThisHost())
	c.addOwn(b)
	for _, v6 := range families {
		for _, t := range errorTypes(v6) {
			b.addRule(dropIn, family(v6), icmp(v6), icmpType(t), seq(quotedSource(v6), byMap(told+suffix(v6))))
		}
	}
	b.addRule(dropIn, goTo(refuseIn))
}

// addNeighbours lets pass what keeps a link going, and never leaves it: neighbour discovery (RFC
// 4861: "Hop Limit 255") and, for this host itself, DHCP of both families. Hosts behind it may
// speak DHCP with a server in a remote network.
func (b *batch) addNeighbours(chain string, own []expr.Any) {
	b.addRule(chain, family(true), icmp(true), seq(network(7, 1), equal(255), transport(0, 1),
		&expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: []byte{133}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: []byte{redirect6}}), accept())
	for _, ports := range [][2]uint16{{68, 67}, {67, 68}, {546, 547}, {547, 546}} {
		b.addRule(chain, family(ports[0] > 100), own, protocol(unix.IPPROTO_UDP),
			seq(transport(0, 4), equal(append(port16(ports[0]), port16(ports[1])...)...)), accept())
	}
}

// addOwn lets in what the tunnels themselves receive, where a peer's address lies in a remote
// network and ours in a local one.
func (c *Config) addOwn(b *batch) {
	const own = "own"
	b.addChain(own)
	b.addRule(dropIn, toThisHost(), jump(own))
	b.addRule(own, protocol(unix.IPPROTO_ESP), accept())
	if c.sockets {
		b.addRule(own, toMarkedSocket(c.Mark), accept())
	}
	for _, p := range c.Ports {
		b.addRule(own, protocol(unix.IPPROTO_UDP), seq(transport(2, 2), equal(port16(p)...)), accept())
	}
	for _, v6 := range families {
		// Without the first fragment, which has the ports, they come to nothing.
		b.addRule(own, family(v6), protocol(unix.IPPROTO_UDP), laterFragment(v6), accept())
		// Errors about what we sent: the path's MTU among them.
		protocolAt, headerLen := uint32(icmpHeader+9), uint32(icmpHeader+20)
		if v6 {
			protocolAt, headerLen = icmpHeader+6, icmpHeader+40
		}
		for _, t := range errorTypes(v6) {
			match := [][]expr.Any{family(v6), icmp(v6), icmpType(t), seq(transport(protocolAt, 1))}
			b.addRule(own, append(match, seq(equal(unix.IPPROTO_ESP)), accept())...)
			for _, p := range c.Ports {
				b.addRule(own, append(match, seq(equal(unix.IPPROTO_UDP), transport(headerLen, 2), equal(port16(p)...)), accept())...)
			}
		}
	}
}

// afterNAT is behind everything that may change a packet, save conntrack's last step.
const afterNAT = math.MaxInt32 - 1

// hooked is a base chain and its priority at a hook.
type hooked struct {
	name     string
	priority int32
}

// addOutbound asks for the mark first: over protocol 50 the tunnels send each packet by itself, and
// each rule that it meets adds nearly 1% to what it costs (docs/measurements.md).
func (c *Config) addOutbound(b *batch) {
	const chain = "outbound"
	b.addChain(chain)
	b.addRule(chain, device(expr.MetaKeyOIFNAME, c.Device), accept())
	for _, v6 := range families {
		part, quoting := chain+suffix(v6), "quoting"+suffix(v6)
		b.addChain(quoting)
		for _, t := range errorTypes(v6) {
			b.addRule(quoting, icmpType(t), seq(quotedDestination(v6), byMap("icmp"+suffix(v6))))
		}
		if v6 {
			b.addRule(quoting, icmpType(redirect6), seq(redirectedTo(v6), byMap("redirect6")))
		}
		b.addChain(part)
		b.addRule(part, icmp(v6), jump(quoting))
		b.addRule(part, seq(source(v6), byMap("out"+suffix(v6))))
		b.addRule(chain, family(v6), goTo(part))
	}
	for _, base := range []hooked{{"post-before-nat", 90}, {"post-after-nat", afterNAT}} {
		b.addBaseChain(base.name, "filter", unix.NF_INET_POST_ROUTING, base.priority)
		b.addRule(base.name, marked(c.Mark), accept())
		b.addRule(base.name, goTo(chain))
	}
}

// addErrors marks the ICMP errors of this host about decrypted packets, so that a rule of the
// router's leads them back into the device. Redirects are none: they are about a link.
func (c *Config) addErrors(b *batch) {
	mark, _ := c.Mark.Errors()
	b.addChain(markICMP)
	for _, name := range []string{c.Device, "lo"} {
		b.addRule(markICMP, device(expr.MetaKeyOIFNAME, name), accept())
	}
	b.addRule(markICMP, setMark(mark), accept())
	const chain = "errors"
	b.addBaseChain(chain, "route", unix.NF_INET_LOCAL_OUT, 200)
	b.addRule(chain, marked(c.Mark), accept())
	for _, v6 := range families {
		part := chain + suffix(v6)
		b.addChain(part)
		for _, t := range errorTypes(v6) {
			if t == redirect4 && !v6 {
				continue
			}
			b.addRule(part, icmpType(t), seq(quotedDestination(v6), byMap("mark"+suffix(v6))))
		}
		b.addRule(chain, icmp(v6), goTo(part))
	}
}
