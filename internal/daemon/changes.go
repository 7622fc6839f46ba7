package daemon

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"culvert/ike"
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

// peerChange returns the effect on a changed peer, or "" without a change. What concerns the engine
// is by ike.Changes, which the engine itself acts by.
func peerChange(old, p *config.Peer) string {
	list := peerChanges(old, p)
	if len(list) == 0 {
		return ""
	}
	var keys, rekey, connect, closed []string
	for _, c := range list {
		keys = add(keys, labelOf(c))
		switch c.Reach {
		case ike.ReachRekey:
			rekey = add(rekey, labelOf(c))
		case ike.ReachConnect:
			connect = add(connect, labelOf(c))
		case ike.ReachChild:
			closed = add(closed, "child "+c.Child)
		}
	}
	what := []string{"its SAs stay"}
	if len(closed) > 0 {
		what = []string{"the SAs of " + strings.Join(closed, ", ") + " are closed, the others stay"}
	}
	if ike.Furthest(list) == ike.ReachPeer {
		what, rekey, connect = []string{"its SAs are closed and set up again"}, nil, nil
	}
	if len(rekey) > 0 {
		what = append(what, strings.Join(rekey, ", ")+": from the next rekeying")
	}
	if len(connect) > 0 {
		what = append(what, strings.Join(connect, ", ")+": from the next connection")
	}
	return fmt.Sprintf("peer %q changes (%s): %s", p.Name, strings.Join(keys, ", "), strings.Join(what, "; "))
}

// add appends a name, once.
func add(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// labelOf returns the name of a changed setting, or of a child that comes or goes.
func labelOf(c ike.Change) string {
	switch {
	case c.Child == "":
		return c.Key
	case c.Key == "":
		return "child " + c.Child
	}
	return c.Key + " of child " + c.Child
}

// peerChanges returns the changes of a peer's settings, the engine's first.
func peerChanges(old, p *config.Peer) []ike.Change {
	list := ike.Changes(&old.Peer, &p.Peer)
	note := func(child, key string, reach ike.Reach, a, b any) {
		if !reflect.DeepEqual(a, b) {
			list = append(list, ike.Change{Child: child, Key: key, Reach: reach})
		}
	}
	if !slices.ContainsFunc(list, func(c ike.Change) bool { return c.Key == "remote" && c.Child == "" }) {
		note("", "remote", ike.ReachConnect, old.RemoteName, p.RemoteName)
	}
	note("", "mtu", ike.ReachNone, old.MTU, p.MTU)
	note("", "revocation", ike.ReachConnect, old.Revocation, p.Revocation)
	note("", "staple", ike.ReachConnect, old.Staple, p.Staple)
	note("", "ocsp", ike.ReachConnect, old.OCSP, p.OCSP)
	note("", "crl", ike.ReachConnect, crlsOf(old), crlsOf(p))
	if len(old.Children) > 0 && len(p.Children) == 0 { // only manual children are left
		for i := range list {
			list[i].Reach = ike.ReachPeer
		}
	}
	for _, name := range childNames(old, p) {
		was, now := manualNamed(old, name), manualNamed(p, name)
		note(name, "", ike.ReachChild, was, now)
		if was != nil && reflect.DeepEqual(was, now) {
			note(name, "", ike.ReachChild, outerOf(old), outerOf(p))
		}
	}
	for _, name := range p.Order {
		if slices.Contains(old.Order, name) {
			note(name, "routing", ike.ReachNone, old.RoutingOf(name), p.RoutingOf(name))
		}
	}
	return list
}

// outerOf returns the settings that say how a manual SA of the peer sends.
func outerOf(p *config.Peer) []any {
	return []any{p.Remote, p.RemoteName, p.RemoteNATPort, p.Local, p.Encap}
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
	note("state", a.State == b.State)
	note("crash_tokens", a.NoCrashTokens == b.NoCrashTokens)
	note("key_log", a.KeyLog == b.KeyLog)
	note("listen", slices.Equal(a.Listen, b.Listen))
	note("ike_port", a.IKEPort == b.IKEPort)
	note("nat_port", a.NATPort == b.NATPort)
	note("ike_dscp", a.DSCP == b.DSCP)
	note("workers", a.Workers == b.Workers)
	note("spin_us", a.Spin == b.Spin)
	note("mtu", a.MTU == b.MTU)
	note("mtu_min", a.MTUMin == b.MTUMin)
	note("offloads", a.NoOffloads == b.NoOffloads)
	note("fast_path", a.NoFastPath == b.NoFastPath)
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
