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

// kernelGuard is a guard in force.
type kernelGuard interface {
	Apply(c protect.Change) error
	Attribute(o *protect.Owners) error
	Counted() (guard.Stats, map[protect.ID]guard.Drops)
	Close() error
}

// A guardPart is the guard as [daemon] guard configures it. It is put up with the first flows, so
// that it never holds back less than the configuration protects.
type guardPart struct {
	mode   config.Guard
	reason string // why a configured guard is missing
	open   func(whole protect.Change) (kernelGuard, error)
	probed guard.Config // what open uses

	mu sync.Mutex
	g  kernelGuard // nil until the first flows
}

// guardConfig returns the configuration of a guard, without the flows.
func guardConfig(c *config.Daemon, log *slog.Logger) guard.Config {
	return guard.Config{Device: c.TUN, Mark: c.Mark, Ports: []uint16{c.IKEPort, c.NATPort}, Log: log}
}

// newGuardPart probes whether the system supports a guard.
func newGuardPart(c *config.Daemon, probe func(guard.Config) (guard.Config, error), log *slog.Logger) (*guardPart, error) {
	p := &guardPart{mode: c.Guard}
	if c.Guard == config.GuardOff {
		return p, nil
	}
	var err error
	p.probed, err = probe(guardConfig(c, log))
	p.open = func(whole protect.Change) (kernelGuard, error) { return guard.Open(p.probed, whole) }
	switch {
	case err == nil:
	case c.Guard == config.GuardRequire:
		return nil, fmt.Errorf("%w: [daemon] guard = \"require\" needs it; \"auto\" runs without a guard", err)
	default:
		p.reason = err.Error()
		log.Warn("THERE IS NO GUARD: only routes keep protected traffic from leaving unprotected, and other programs may change them", "event", "no-guard", "error", err)
	}
	return p, nil
}

// on reports whether there is a guard, or will be with the first flows.
func (p *guardPart) on() bool { return p != nil && p.mode != config.GuardOff && p.reason == "" }

// apply applies a change to the guard. The first time it opens the guard with all flows, whole().
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

// attribute has the guard count drops by policy, for the first policies of an order. The flows must
// be in force. The guard holds back as much without it.
func (p *guardPart) attribute(flows *protect.Set, order iter.Seq[protect.ID]) error {
	if !p.on() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.g == nil {
		return nil
	}
	return p.g.Attribute(flows.Owners(order))
}

// status returns the guard's status, and the drops of the policies for which it counts them.
func (p *guardPart) status() (out control.Guard, by map[protect.ID]guard.Drops) {
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
		st, by = p.g.Counted()
		out.Drops, out.Repairs = control.GuardDrops{Out: st.Out, In: st.In, ICMP: st.ICMP}, st.Repairs
	}
	return out, by
}

// close stops maintaining the guard, which stays in the kernel, and reports whether there is one.
func (p *guardPart) close() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probed.Close()
	if p.g == nil {
		return false
	}
	_ = p.g.Close()
	return true
}
