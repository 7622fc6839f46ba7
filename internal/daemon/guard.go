package daemon

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/tun"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// kernelGuard is a guard that stands.
type kernelGuard interface {
	Apply(c protect.Change) error
	Attribute(o *protect.Owners) error
	Counted() (guard.Stats, map[protect.ID]guard.Drops)
	Close() error
}

// guardPart is the guard as [daemon] guard wants it. It is put up with the first flows, so that it
// never stands with less than those of the configuration.
type guardPart struct {
	mode   config.Guard
	reason string // why there is none although it is wanted
	open   func(whole protect.Change) (kernelGuard, error)

	mu sync.Mutex
	g  kernelGuard // nil until the first flows
}

// guardConfig is what a guard is told by the configuration besides the flows.
func guardConfig(c *config.Daemon, log *slog.Logger) guard.Config {
	return guard.Config{Device: c.TUN, Mark: c.Mark, Ports: []uint16{c.IKEPort, c.NATPort}, Log: log}
}

// newGuardPart looks whether the system can have a guard.
func newGuardPart(c *config.Daemon, probe func(guard.Config) error, log *slog.Logger) (*guardPart, error) {
	gc := guardConfig(c, log)
	p := &guardPart{mode: c.Guard, open: func(whole protect.Change) (kernelGuard, error) { return guard.Open(gc, whole) }}
	if c.Guard == config.GuardOff {
		return p, nil
	}
	err := probe(gc)
	switch {
	case err == nil:
	case c.Guard == config.GuardRequire:
		return nil, fmt.Errorf("%w: [daemon] guard = \"require\" wants it; \"auto\" does without", err)
	default:
		p.reason = err.Error()
		log.Warn("THERE IS NO GUARD: protected traffic is kept from leaving unprotected by routes alone, which others may change", "event", "no-guard", "error", err)
	}
	return p, nil
}

// on reports whether there is a guard, or will be with the first flows.
func (p *guardPart) on() bool { return p != nil && p.mode != config.GuardOff && p.reason == "" }

// apply has the guard follow a change; whole is all flows with it, for the first time.
func (p *guardPart) apply(c protect.Change, whole func() protect.Change) (err error) {
	if !p.on() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.g == nil {
		p.g, err = p.open(whole())
		return err
	}
	return p.g.Apply(c)
}

// attribute has the guard count by child for the first children of a configuration, whose flows are
// in force. Without that it holds back as much as with it.
func (p *guardPart) attribute(flows *protect.Set, c *config.Config) error {
	if !p.on() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.g == nil {
		return nil
	}
	return p.g.Attribute(flows.Owners(children(c)))
}

// children gives the children of a configuration, in the order of the files.
func children(c *config.Config) iter.Seq[protect.ID] {
	return func(yield func(protect.ID) bool) {
		for i := range c.Peers {
			for _, name := range c.Peers[i].Order {
				if !yield(protect.ID{Peer: c.Peers[i].Name, Child: name}) {
					return
				}
			}
		}
	}
}

// status is the guard as status shows it, and what it has dropped of the children whose drops it
// counts.
func (p *guardPart) status() (out control.Guard, byChild map[protect.ID]guard.Drops) {
	switch {
	case p == nil || p.mode == config.GuardOff:
		return control.Guard{State: "off"}, nil
	case p.reason != "":
		return control.Guard{State: "none", Reason: p.reason}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out.State = "on"
	if p.g != nil {
		var st guard.Stats
		st, byChild = p.g.Counted()
		out.Drops, out.Repairs = control.GuardDrops{Out: st.Out, In: st.In, ICMP: st.ICMP}, st.Repairs
	}
	return out, byChild
}

// close leaves the guard to itself, and reports whether one stands.
func (p *guardPart) close() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.g == nil {
		return false
	}
	_ = p.g.Close()
	return true
}

// leave ends the daemon's part in the guard, which stays, or with release goes, and tells of that.
func (p *parts) leave(device string, release bool) error {
	stands := p.guard.close()
	if release {
		_, err := guard.Release(device)
		if stands && err == nil {
			p.log.Info("the guard is released: what the tunnels protected may leave unprotected now", "event", "guard-released", "device", device)
		}
		return err
	}
	what := "the guard stays"
	if !stands && !p.guard.on() {
		what = "the routes that make protected networks unreachable stay"
	} else if !stands {
		return nil // ended before it stood
	}
	p.log.Info(what+": protected traffic is held back until culvert runs again; `culvert release --tun "+device+"` opens it", "event", "guard-stays", "device", device)
	return nil
}

// flowsOf is the flows that a configuration protects on this host as it is now.
func flowsOf(c *config.Config) *protect.Set {
	flows, diff := protect.NewSet(), compare(nil, c)
	flows.Exempt(c.Daemon.Bypass, newOutside(slog.New(slog.DiscardHandler)).prefixes(c))
	diff.applyToFlows(flows)
	return flows
}

// RaiseGuard puts up the guard of a configuration, for a daemon that is yet to come, and returns
// what it did.
func RaiseGuard(path string) (string, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return "", err
	}
	c := &cfg.Daemon
	switch {
	case c.Guard == config.GuardOff:
		return "", errors.New("[daemon] guard is \"off\": there is nothing to put up")
	case control.Alive(c.Control):
		return "", fmt.Errorf("a culvert daemon runs at %s, which has put up its guard", c.Control)
	}
	flows := flowsOf(cfg)
	g, err := guard.Open(guardConfig(c, nil), flows.Whole())
	if err != nil {
		return "", err
	}
	if err := g.Attribute(flows.Owners(children(cfg))); err != nil {
		return "", err
	}
	_ = g.Close()
	return fmt.Sprintf("the guard of %s stands: protected traffic is held back until the daemon runs; culvert release opens it", c.TUN), nil
}

// Standing tells in words of the guards that stand, with a daemon or without.
func Standing() (lines []string) {
	devices, _ := guard.Devices()
	for _, d := range devices {
		if st, ok, err := guard.Standing(d); ok && err == nil {
			lines = append(lines, fmt.Sprintf("the guard of %s is up: protected traffic is held back until its daemon runs, or `culvert release --tun %s` opens it (dropped so far: %d out, %d in, %d icmp)",
				d, d, st.Out, st.In, st.ICMP))
		}
	}
	return lines
}

// Released is something that held traffic back and does so no more.
type Released struct {
	What          string
	Local, Remote []netip.Prefix
}

// Release takes away the guard of a device, or of all without a daemon if device is "", and the
// routes and rules of daemons that have ended. A device that is there has a daemon; force does not
// heed that.
func Release(device string, force bool) (out []Released, err error) {
	standing, err := guard.Devices()
	if err != nil {
		return nil, err
	}
	for _, name := range standing {
		_, none := net.InterfaceByName(name)
		switch {
		case device != "" && name != device:
			continue
		case none == nil && !force && device == "":
			continue
		case none == nil && !force:
			return out, fmt.Errorf("the device %s is there: stop its daemon first, or write --force", name)
		}
		o, err := guard.Release(name)
		if err != nil {
			return out, err
		}
		out = append(out, Released{"the guard of " + name, o.Local, o.Remote})
	}
	routes, err := tun.Release()
	if len(routes) > 0 {
		r := Released{What: "what ended daemons left of routes"}
		for _, text := range routes {
			if p, err := netip.ParsePrefix(text); err == nil {
				r.Remote = append(r.Remote, p)
			}
		}
		slices.SortFunc(r.Remote, netip.Prefix.Compare)
		out = append(out, r)
	}
	return out, err
}
