package daemon

import (
	"fmt"
	"net/http"
	"strings"

	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/tun/protect"
)

// fates is the number of peers by what becomes of them in a reload.
type fates struct{ before, added, changed, removed, kept int }

func fatesOf(before, next *config.Config) (f fates) {
	f.before = len(before.Peers)
	for i := range before.Peers {
		if next.Peer(before.Peers[i].Name) == nil {
			f.removed++
		}
	}
	for i := range next.Peers {
		p := &next.Peers[i]
		switch old := before.Peer(p.Name); {
		case old == nil:
			f.added++
		case peerChange(old, p) != "":
			f.changed++
		default:
			f.kept++
		}
	}
	return f
}

// suspicious reports whether so much is removed that the files may be incomplete: all peers, or
// more than half of them.
func (f fates) suspicious() bool { return f.removed > 0 && 2*f.removed > f.before }

func (f fates) String() string {
	var words []string
	for _, w := range []struct {
		n    int
		what string
	}{{f.added, "added"}, {f.changed, "changed"}, {f.removed, "removed"}} {
		if w.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	return strings.Join(append(words, fmt.Sprintf("%d kept as they are", f.kept)), ", ")
}

// suspicious refuses a configuration that removes more than half of the peers. The answer lists
// what it would do.
func (d *Daemon) suspicious(plan *control.Changes, f fates, dry bool) error {
	e := &control.Error{Code: http.StatusConflict, Details: plan.Changes}
	e.Text = fmt.Sprintf("the configuration removes %d of %d peers: if that is meant, and no file is missing or cut off, reload with --force; nothing was changed", f.removed, f.before)
	if !dry {
		d.log.Error("reload: "+e.Text, "event", "reload-failed")
	}
	return e
}

// plannedFlows returns lines on the flows that a reload would leave unprotected, and those that it
// would protect.
func plannedFlows(before, next *config.Config) (lines []string) {
	for _, o := range openedBy(before, next) {
		lines = append(lines, openedLine(o))
	}
	for _, o := range openedBy(next, before) {
		lines = append(lines, fmt.Sprintf("closed: traffic between %s and %s is protected now", some(o.Local), some(o.Remote)))
	}
	return lines
}

func openedLine(o protect.Opening) string {
	return fmt.Sprintf("opened: traffic between %s and %s is no longer protected", some(o.Local), some(o.Remote))
}

// openedBy returns the flows that one configuration protects and another does not, on this host in
// its present state.
func openedBy(was, is *config.Config) []protect.Opening {
	flows, _ := flowsOf(was)
	old := flows.IDs()
	var all []ipsec.Policy
	for i := range is.Peers {
		all = append(all, policiesOf(&is.Peers[i])...)
	}
	for i := range all {
		all[i].ID = ipsec.PolicyID(len(old) + i + 1)
	}
	opened := flows.Opened(flows.Exempt(is.Daemon.Bypass, outsideOf(is)))
	set, _ := protectedBy(is, all)
	return append(opened, flows.Opened(flows.Change(set, old))...)
}
