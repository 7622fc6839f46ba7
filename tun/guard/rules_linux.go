package guard

import (
	"math"
	"strconv"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A purpose is one of the look-ups of a flow. Its map leads from a local address to a chain, one
// for each set of groups with that address. The chain matches the remote address and goes to the
// target.
type purpose struct {
	name          string
	only          func(v6 bool) bool // reports whether it is for a family; nil: both
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

// told is the purpose of inbound ICMP errors' quotations. A quoted flow that its map contains and
// its sets do not is bypassed, and the error passes.
const told = "told"

func isV6(v6 bool) bool { return v6 }

var purposes = []purpose{
	{"out", nil, source, destination, dropOut},
	{"in", nil, destination, source, dropIn},
	// The flow that an inbound ICMP error quotes. Errors about a bypassed flow may come by any
	// device.
	{told, nil, quotedSource, quotedDestination, refuseIn},
	{"icmp", nil, quotedDestination, quotedSource, dropICMP},
	// A redirect goes to the source of the packet that it quotes.
	{"redirect", isV6, redirectedTo, destination, dropICMP},
	{"mark", nil, quotedDestination, quotedSource, markICMP},
}

// each calls f for the purposes of a family.
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

// suffix returns the suffix of a family's names.
func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}

// mapName returns the name of a purpose's map: "out4".
func (p *purpose) mapName(v6 bool) string { return p.name + suffix(v6) }

// chainName returns the name of a purpose's chain for the n-th set of groups: "out4-1".
func (p *purpose) chainName(v6 bool, n int) string { return p.mapName(v6) + "-" + strconv.Itoa(n) }

// groupPrefix is the prefix of the names of the groups' sets.
const groupPrefix = "group"

// setName returns the name of the set of a group's chunk: "group1-1".
func setName(group, chunk int) string {
	return groupPrefix + strconv.Itoa(group) + "-" + strconv.Itoa(chunk)
}

// Types of ICMP errors that quote a packet. Redirects of IPv6 have a different format.
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

// addRules adds the chains, maps and rules that do not depend on the policies.
func (c *Config) addRules(b *batch) {
	for _, v6 := range families {
		c.each(v6, func(p *purpose) { b.addSet(p.mapName(v6), v6, true) })
	}
	c.addAttribution(b)
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
		c.countByPolicy(b, t.chain)
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

// addNeighbours accepts the packets that a link needs and that never leave it: neighbour discovery
// (RFC 4861, hop limit 255) and, for this host itself, DHCP of both families. Hosts behind it may
// use a DHCP server in a remote network, and are protected.
func (b *batch) addNeighbours(chain string, own []expr.Any) {
	b.addRule(chain, family(true), icmp(true), seq(network(7, 1), equal(255), transport(0, 1),
		&expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: []byte{133}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: []byte{redirect6}}), accept())
	for _, ports := range [][2]uint16{{68, 67}, {67, 68}, {546, 547}, {547, 546}} {
		b.addRule(chain, family(ports[0] > 100), own, protocol(unix.IPPROTO_UDP),
			seq(transport(0, 4), equal(append(port16(ports[0]), port16(ports[1])...)...)), accept())
	}
}

// addOwn accepts the tunnels' own inbound packets, for peers whose address lies in a remote network
// while ours lies in a local one.
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
		// Later fragments are useless without the first one, which has the ports.
		b.addRule(own, family(v6), protocol(unix.IPPROTO_UDP), laterFragment(v6), accept())
		// Errors about packets of the tunnels, among them those of path MTU discovery.
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

// afterNAT is after everything that may change a packet, except conntrack's last step.
const afterNAT = math.MaxInt32 - 1

// A hooked is a base chain and its priority at a hook.
type hooked struct {
	name     string
	priority int32
}

// addOutbound adds the chains for outbound packets. They match the mark first: over protocol 50 the
// tunnels send each packet by itself, and each rule adds nearly 1% to its cost
// (docs/measurements.md).
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

// addErrors adds the rules that mark this host's ICMP errors about decrypted packets, by which a
// rule of the router leads them back into the device. Redirects concern a link and are not marked.
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
