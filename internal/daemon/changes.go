package daemon

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"culvert/internal/config"
)

// changes returns lines on the effect of a new configuration on each peer, and on keys that need a
// restart.
func changes(before, next *config.Config) []string {
	out := []string{}
	for i := range before.Peers {
		if p := &before.Peers[i]; next.Peer(p.Name) == nil {
			out = append(out, fmt.Sprintf("peer %q is removed: its SAs are deleted", p.Name))
		}
	}
	for i := range next.Peers {
		p := &next.Peers[i]
		old := before.Peer(p.Name)
		if old == nil {
			out = append(out, fmt.Sprintf("peer %q is added", p.Name))
			continue
		}
		if line := peerChange(old, p); line != "" {
			out = append(out, line)
		}
	}
	if keys := restartKeys(&before.Daemon, &next.Daemon); len(keys) > 0 {
		out = append(out, fmt.Sprintf("[daemon] %s: takes effect when the daemon is started again", strings.Join(keys, ", ")))
	}
	if !slices.Equal(before.Daemon.Bypass, next.Daemon.Bypass) {
		out = append(out, fmt.Sprintf("[daemon] bypass is %v now", next.Daemon.Bypass))
	}
	if before.Daemon.Log != next.Daemon.Log {
		out = append(out, fmt.Sprintf("[daemon] log is %s now", strings.ToLower(next.Daemon.Log.String())))
	}
	return out
}

// peerChange returns the effect on a changed peer, or "" without a change. Any change of a
// negotiated setting closes its SAs, which are then negotiated again.
func peerChange(old, p *config.Peer) string {
	var keys, stay []string // the settings that end the SAs, and the others
	to := &keys
	note := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			*to = append(*to, name)
		}
	}
	note("remote", []any{old.Remote, old.RemoteName}, []any{p.Remote, p.RemoteName})
	note("ports", []uint16{old.RemotePort, old.RemoteNATPort}, []uint16{p.RemotePort, p.RemoteNATPort})
	note("local", old.Local, p.Local)
	note("identities", []any{old.LocalID, old.RemoteID, old.Parties}, []any{p.LocalID, p.RemoteID, p.Parties})
	note("secret", old.PSK, p.PSK)
	note("ike_proposals", old.Proposals, p.Proposals)
	note("ike_lifetime", old.Lifetime, p.Lifetime)
	note("encap", old.Encap, p.Encap)
	note("dpd", []any{old.DPD, old.DPDAction}, []any{p.DPD, p.DPDAction})
	note("fragment", old.Fragment, p.Fragment)
	note("per_cpu", old.PerResource, p.PerResource)
	for _, name := range childNames(old, p) {
		note("child "+name, []any{childNamed(old, name), manualNamed(old, name)}, []any{childNamed(p, name), manualNamed(p, name)})
	}
	to = &stay
	note("mtu", old.MTU, p.MTU)
	for _, name := range p.Order {
		if slices.Contains(old.Order, name) {
			note("routing of child "+name, old.RoutingOf(name), p.RoutingOf(name))
		}
	}
	what := "its SAs are closed and set up again"
	switch {
	case len(keys)+len(stay) == 0:
		return ""
	case len(keys) == 0:
		what = "its SAs stay"
	case len(keys) == 1 && keys[0] == "remote" && len(p.Manual) == 0:
		what = "its SAs stay, new ones use the new address"
	}
	return fmt.Sprintf("peer %q changes (%s): %s", p.Name, strings.Join(append(keys, stay...), ", "), what)
}

// childNames returns the names of the children of both.
func childNames(old, p *config.Peer) []string {
	names := slices.Clone(old.Order)
	for _, name := range p.Order {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// restartKeys returns the changed keys of [daemon] that are read only at the start.
func restartKeys(a, b *config.Daemon) []string {
	var keys []string
	note := func(name string, same bool) {
		if !same {
			keys = append(keys, name)
		}
	}
	note("tun", a.TUN == b.TUN)
	note("control", a.Control == b.Control)
	note("listen", slices.Equal(a.Listen, b.Listen))
	note("ike_port", a.IKEPort == b.IKEPort)
	note("nat_port", a.NATPort == b.NATPort)
	note("ike_dscp", a.DSCP == b.DSCP)
	note("workers", a.Workers == b.Workers)
	note("spin_us", a.Spin == b.Spin)
	note("mtu", a.MTU == b.MTU)
	note("mtu_min", a.MTUMin == b.MTUMin)
	note("offloads", a.NoOffloads == b.NoOffloads)
	note("guard", a.Guard == b.Guard)
	note("mark", a.Mark == b.Mark)
	note("route_table", a.RouteTable == b.RouteTable)
	note("rule_priority", a.RulePriority == b.RulePriority)
	note("log_format", a.JSONLog == b.JSONLog)
	note("metrics", a.Metrics == b.Metrics)
	return keys
}

// some names the first networks of a list, and the number of the others.
func some(list []netip.Prefix) string {
	const most = 8
	var b strings.Builder
	for i, p := range list[:min(len(list), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	if more := len(list) - most; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
