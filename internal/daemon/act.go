package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/reason"
	"culvert/internal/config"
	"culvert/internal/control"
)

// stopping turns the driver's ErrStopped into an answer of the API.
func stopping(err error) error {
	if errors.Is(err, driver.ErrStopped) {
		return &control.Error{Code: http.StatusServiceUnavailable, Text: "the daemon is stopping"}
	}
	return err
}

// Act initiates, closes or rekeys a peer or child, and waits for the outcome.
func (d *Daemon) Act(ctx context.Context, a control.Action, t control.Target) (string, error) {
	c := d.config()
	p := addressed(c, t.Peer)
	if p == nil {
		return "", noPeer(c, t.Peer)
	}
	if err := actable(p, a, t.Child); err != nil {
		return "", err
	}
	if a == control.Up {
		if err := d.findPeer(ctx, p); err != nil {
			return "", failed(err)
		}
	}
	if err := d.ike.Do(ctx, command(a, t)); err != nil {
		if why := d.unresolved(p); why != "" && a == control.Up && ctx.Err() == nil {
			err = errors.New(why)
		}
		return "", d.detailed(ctx, a, t, failed(err))
	}
	if t.Verify {
		return d.verify(ctx, p, t)
	}
	return d.outcome(ctx, a, t), nil
}

// outcome says what an action did.
func (d *Daemon) outcome(ctx context.Context, a control.Action, t control.Target) string {
	what := named(t)
	switch {
	case t.Alone:
		return d.agreed(ctx, t.Peer)
	case a == control.Rekey:
		return what + " is rekeyed"
	case a == control.Down && t.Once:
		return what + ` is down; traffic, start = "boot" or the peer may bring it up again`
	case a == control.Down:
		return fmt.Sprintf("%s is down, and refuses traffic and calls until \"culvert up %s\" or the next start of the daemon", what, what)
	}
	if st, ok, err := d.ike.StatusOf(ctx, t.Peer); err == nil && (!ok || st.State == ike.PeerDown) {
		return what + " is no longer held down: it comes up when the peer connects"
	}
	return what + " is up"
}

// named returns a target as commands take it.
func named(t control.Target) string {
	if t.Child == "" {
		return t.Peer
	}
	return t.Peer + "/" + t.Child
}

// addressed returns the configured peer that a command addresses as peer or peer#party, or nil.
func addressed(c *config.Config, address string) *config.Peer {
	if p := c.Peer(address); p != nil {
		return p
	}
	name, _, _ := strings.Cut(address, "#")
	if p := c.Peer(name); p != nil && p.Parties {
		return p
	}
	return nil
}

// noPeer is the error for a name that no configured peer has. It names a few that exist: its cost
// does not grow with their number.
func noPeer(c *config.Config, name string) error {
	var known []string
	for i := range c.Peers[:min(len(c.Peers), control.MaxNamed)] {
		known = append(known, c.Peers[i].Name)
	}
	return control.NoPeer(name, known, len(c.Peers))
}

// actable returns an error if the action does not apply to the peer or child.
func actable(p *config.Peer, a control.Action, child string) error {
	switch {
	case child == "" && len(p.Children) > 0, child != "" && childNamed(p, child) != nil:
		return nil
	case child != "" && manualNamed(p, child) == nil:
		return control.NoChild(p.Name, child, p.Order)
	}
	return &control.Error{Code: http.StatusConflict, Text: fmt.Sprintf("a manual SA is up for as long as it is configured: there is nothing to %s", a)}
}

func command(a control.Action, t control.Target) ike.Input {
	switch a {
	case control.Up:
		return ike.Connect{Peer: t.Peer, Child: t.Child, Alone: t.Alone}
	case control.Down:
		return ike.Disconnect{Peer: t.Peer, Child: t.Child, Once: t.Once, By: t.By}
	}
	return ike.Rekey{Peer: t.Peer, Child: t.Child}
}

// failed turns the error of an action into an answer of the API.
func failed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, driver.ErrStopped) {
		return stopping(err)
	}
	var why *reason.Error
	if errors.As(err, &why) {
		return &control.Error{Code: http.StatusConflict, Text: err.Error(), Cause: string(why.Cause), Details: why.Explain}
	}
	return &control.Error{Code: http.StatusConflict, Text: err.Error()}
}
