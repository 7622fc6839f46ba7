package daemon

import (
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"culvert/internal/config"
	"culvert/internal/control"
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
