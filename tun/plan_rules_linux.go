package tun

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The rules, as offsets from the priority of the router's first. They follow the rule of the local
// table (0), so that packets to this host stay here, and precede all others, so that no other route
// or rule can divert protected traffic, whatever its prefix (TunnelCrack). T is the first table.
//
//	+0   fwmark Mark            goto +11     the tunnels' own packets
//	+1   from O ipproto esp     goto +11     the tunnels' inbound packets to an own address O in
//	     from O udp sport PORT  goto +11     a local network, for IPv4's reverse path filter
//	+2   from ::/1, 8000::/1    goto +4      IPv6: packets with a source skip the next rule
//	+3   from 0.0.0.0/32        lookup T     this host's packets without a source (IPv6: others)
//	+4                          nop          IPv6: the target of +2
//	+5   from N ipproto P       goto +7      own address N with a protected neighbour: protocols
//	+6   from N                 goto +11     P, so that ARP, which has none, skips the tables
//	+7   from L                 lookup T+ID  each local network L of each group
//	+8   not fwmark Errors      goto +11
//	+9   fwmark Errors          lookup T+ID  ICMP errors about decrypted packets
//	+11                         nop          the target of goto: the rules of others follow
//
// After a look-up that finds no route or a throw route the next rule follows.
const (
	ruleMark        = 0
	ruleOwn         = 1
	ruleBound       = 2
	ruleUnbound     = 3
	ruleBoundEnd    = 4
	ruleARPProtocol = 5
	ruleARPRest     = 6
	ruleFrom        = 7
	ruleOther       = 8
	ruleErrors      = 9
	ruleEnd         = 11
	ruleCount       = 12
)

// A rule is one of the router's rules.
type rule struct {
	v6    bool
	at    int          // one of the offsets
	src   netip.Prefix // invalid: any
	table int          // counted from the first table
	proto uint8        // of ruleOwn and ruleARPProtocol
	port  uint16       // of ruleOwn; 0: any
}

var (
	unboundIPv4 = netip.MustParsePrefix("0.0.0.0/32")
	boundIPv6   = []netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}
)

// kernelRule returns a rule in the kernel's form. Every rule names a table, also without a look-up:
// it shows which daemon the rule belongs to.
func (r *Router) kernelRule(k rule) kernelRule {
	out := kernelRule{
		v6: k.v6, prio: uint32(r.prio + k.at), src: k.src, ipProto: k.proto, table: uint32(r.table + k.table),
		action: unix.FR_ACT_TO_TBL, protocol: routeProtocol,
	}
	if k.src.Bits() == 0 { // the kernel shows it as no source
		out.src = netip.Prefix{}
	}
	if k.port != 0 {
		out.sport = portRange{k.port, k.port}
	}
	switch k.at {
	case ruleMark:
		out.mark, out.mask = r.mark.Value, r.mark.Mask
		out.action, out.goTo = unix.FR_ACT_GOTO, uint32(r.prio+ruleEnd)
	case ruleARPProtocol:
		out.action, out.goTo = unix.FR_ACT_GOTO, uint32(r.prio+ruleFrom)
	case ruleOwn, ruleARPRest:
		out.action, out.goTo = unix.FR_ACT_GOTO, uint32(r.prio+ruleEnd)
	case ruleBound:
		out.action, out.goTo = unix.FR_ACT_GOTO, uint32(r.prio+ruleBoundEnd)
	case ruleOther:
		out.action, out.goTo, out.invert = unix.FR_ACT_GOTO, uint32(r.prio+ruleEnd), true
		out.mark, out.mask = r.errors.Value, r.errors.Mask
	case ruleErrors:
		out.mark, out.mask = r.errors.Value, r.errors.Mask
	case ruleBoundEnd, ruleEnd:
		out.action = unix.FR_ACT_NOP
	}
	return out
}

// familyRules returns the rules that a family has once, each with whether it is needed: any reports
// whether there is a group, unbound whether table 0 has routes.
func familyRules(v6, any, unbound, errors bool) map[rule]bool {
	out := map[rule]bool{{v6: v6, at: ruleMark}: any, {v6: v6, at: ruleEnd}: any, {v6: v6, at: ruleOther}: any && errors}
	if !v6 {
		out[rule{at: ruleUnbound, src: unboundIPv4}] = unbound
		return out
	}
	for _, b := range boundIPv6 {
		out[rule{v6: true, at: ruleBound, src: b}] = unbound
	}
	out[rule{v6: true, at: ruleUnbound}] = unbound
	out[rule{v6: true, at: ruleBoundEnd}] = unbound
	return out
}

// inOrder returns rules in the order in which to add them: the target of a goto before the goto,
// the rules for marked packets before all others, and each rule after those that limit it.
func inOrder(rules map[rule]bool) []rule {
	rank := map[int]int{ruleEnd: 0, ruleMark: 1, ruleOwn: 2, ruleOther: 3, ruleErrors: 4, ruleBoundEnd: 5, ruleBound: 6, ruleUnbound: 7, ruleFrom: 8, ruleARPProtocol: 9, ruleARPRest: 10}
	out := slices.Collect(maps.Keys(rules))
	slices.SortFunc(out, func(a, b rule) int {
		return cmp.Or(rank[a.at]-rank[b.at], a.table-b.table, a.src.Addr().Compare(b.src.Addr()))
	})
	return out
}
