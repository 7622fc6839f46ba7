package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"culvert/internal/config"
	"culvert/internal/control"
)

// applyTimeout bounds the time in which the engine takes a change of peers.
const applyTimeout = 30 * time.Second

// Reload reads the files again. Errors in them change nothing; otherwise it applies the
// differences, peer by peer, and returns and logs them.
func (d *Daemon) Reload(ctx context.Context) (*control.Changes, error) {
	d.applying.Lock()
	defer d.applying.Unlock()
	next, err := config.Load(d.opts.Config)
	if err != nil {
		return nil, d.refused(err)
	}
	out := &control.Changes{Changes: d.announce(next), Warnings: []string{}}
	for _, w := range next.Warnings {
		out.Warnings = append(out.Warnings, w.Error())
	}
	for _, line := range out.Changes {
		d.log.Info("reload: "+line, "event", "reload")
	}
	d.level.Set(next.Daemon.Log)
	// A client that disconnects must not leave the change half applied.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := d.apply(ctx, next); err != nil {
		d.log.Error("reload: not applied in full", "event", "reload-failed", "error", err)
		return nil, stopping(err)
	}
	for _, o := range d.opened {
		line := fmt.Sprintf("opened: traffic between %s and %s is no longer protected", some(o.Local), some(o.Remote))
		out.Changes = append(out.Changes, line)
		d.log.Warn("reload: "+line, "event", "opened")
	}
	d.log.Info("configuration reloaded", "event", "reloaded", "changes", len(out.Changes))
	return out, nil
}

// announce returns the changes from what was last applied in full. After a reload that failed in
// part, its changes are repeated.
func (d *Daemon) announce(next *config.Config) []string {
	before := d.applied
	if before == nil {
		before = d.config()
	}
	list := changes(before, next)
	if d.inForce == nil {
		list = append(list, "the last change was not applied in full: all of the configuration is applied again")
	}
	return list
}

// refused logs the errors of a configuration and returns the answer of the API.
func (d *Daemon) refused(err error) error {
	e := &control.Error{Code: http.StatusUnprocessableEntity, Text: "the configuration is refused; the old one stays in force"}
	var errs config.Errors
	if errors.As(err, &errs) {
		for _, one := range errs {
			e.Errors = append(e.Errors, one.Error())
			d.log.Error("reload: "+one.Error(), "event", "reload-failed")
		}
	}
	d.log.Error(e.Text, "event", "reload-failed")
	return e
}
