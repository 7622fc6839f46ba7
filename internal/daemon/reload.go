package daemon

import (
	"context"
	"errors"
	"net/http"
	"time"

	"culvert/internal/config"
	"culvert/internal/control"
)

// applyTimeout bounds the time in which the engine takes a change of peers.
const applyTimeout = 30 * time.Second

// Reload reads the files again. Errors in them change nothing; otherwise it applies the
// differences, peer by peer, and returns and logs them. A dry run returns them and applies nothing.
func (d *Daemon) Reload(ctx context.Context, how control.ReloadHow) (*control.Changes, error) {
	d.applying.Lock()
	defer d.applying.Unlock()
	next, err := config.Load(d.opts.Config)
	if err != nil {
		return nil, d.refused(err)
	}
	before := d.before()
	out := &control.Changes{Changes: d.announce(before, next), Warnings: []string{}}
	for _, w := range next.Warnings {
		out.Warnings = append(out.Warnings, w.Error())
	}
	fates := fatesOf(before, next)
	out.Summary = fates.String()
	if how.DryRun {
		out.Changes = append(out.Changes, plannedFlows(before, next)...)
	}
	if !how.Force && fates.suspicious() {
		return out, d.suspicious(out, fates, how.DryRun)
	}
	if how.DryRun {
		return out, nil
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
		line := openedLine(o)
		out.Changes = append(out.Changes, line)
		d.log.Warn("reload: "+line, "event", "opened")
	}
	d.log.Info("configuration reloaded", "event", "reloaded", "changes", len(out.Changes))
	return out, nil
}

// before returns what was last applied in full.
func (d *Daemon) before() *config.Config {
	if d.applied != nil {
		return d.applied
	}
	return d.config()
}

// announce returns the changes from what was last applied in full. After a reload that failed in
// part, its changes are repeated.
func (d *Daemon) announce(before, next *config.Config) []string {
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
