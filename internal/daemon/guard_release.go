package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"culvert/dataplane/netio"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// leave stops maintaining the guard, and logs whether it stays in force or, with release, is
// removed.
func (p *parts) leave(device string, release bool) error {
	stands := p.guard.close()
	if release {
		_, err := guard.Release(device)
		if stands && err == nil {
			p.log.Info("the guard is released: traffic of the tunnels may leave unprotected now", "event", "guard-released", "device", device)
		}
		return err
	}
	what := "the guard stays"
	if !stands && !p.guard.on() {
		what = "the routes that make protected networks unreachable stay"
	} else if !stands {
		return nil // the daemon ended before it put up a guard
	}
	p.log.Info(what+": protected traffic is held back until culvert runs again; `culvert release --tun "+device+"` opens it", "event", "guard-stays", "device", device)
	return nil
}

// flowsOf returns the flows that a configuration protects on this host in its present state, and
// its policies, as they will be when a daemon runs: then the engine gives them other IDs.
func flowsOf(c *config.Config) (*protect.Set, policies) {
	flows, diff, policies := protect.NewSet(), compare(nil, c), newPolicies()
	flows.Exempt(c.Daemon.Bypass, outsideOf(c))
	var all policyChange
	for i := range c.Peers {
		all.set = append(all.set, policiesOf(&c.Peers[i])...)
	}
	for i := range all.set {
		all.set[i].ID = ipsec.PolicyID(i + 1)
		policies.named[all.set[i].Name] = all.set[i].ID
	}
	diff.applyToFlows(flows, &all)
	return flows, policies
}

// outsideOf returns the addresses outside of the full tunnels of a configuration, as they are now.
func outsideOf(c *config.Config) []netip.Prefix {
	return newOutside(slog.New(slog.DiscardHandler)).prefixes(c)
}

// RaiseGuard puts up the guard of a configuration before its daemon runs, and returns a line about
// it.
func RaiseGuard(path string) (string, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return "", err
	}
	c := &cfg.Daemon
	switch {
	case c.Guard == config.GuardOff:
		return "", errors.New("[daemon] guard is \"off\": there is no guard to put up")
	case control.Alive(c.Control):
		return "", fmt.Errorf("a culvert daemon runs at %s, which has put up its guard", c.Control)
	}
	flows, policies := flowsOf(cfg)
	g, err := guard.Open(guardConfig(c, nil), flows.Whole())
	if err != nil {
		return "", err
	}
	if err := g.Attribute(flows.Owners(policies.inOrder(cfg))); err != nil {
		return "", err
	}
	_ = g.Close()
	return fmt.Sprintf("the guard of %s stands: protected traffic is held back until the daemon runs; culvert release opens it", c.TUN), nil
}

// Standing returns a line for each guard in force, with or without a daemon.
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

// Released is a guard or a set of routes that no longer holds traffic back.
type Released struct {
	What          string
	Local, Remote []netip.Prefix
}

// Release removes the guard of a device, or with device "" every guard whose device is absent, the
// routes and rules of ended daemons, and the filters of tc of killed ones. A device that exists has
// a daemon, and its guard and filters stay unless force is set.
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
			return out, fmt.Errorf("the device %s exists: stop its daemon first, or use --force", name)
		}
		o, err := guard.Release(name)
		if err != nil {
			return out, err
		}
		out = append(out, Released{"the guard of " + name, o.Local, o.Remote})
	}
	routes, err := tun.Release()
	if len(routes) > 0 {
		r := Released{What: "the routes of ended daemons"}
		for _, text := range routes {
			if p, err := netip.ParsePrefix(text); err == nil {
				r.Remote = append(r.Remote, p)
			}
		}
		slices.SortFunc(r.Remote, netip.Prefix.Compare)
		out = append(out, r)
	}
	filters, failed := netio.ReleaseFilters(func(owner string) bool {
		_, none := net.InterfaceByName(owner)
		return (device == "" || owner == device) && (none != nil || force)
	})
	for _, f := range filters {
		out = append(out, Released{What: f})
	}
	return out, errors.Join(err, failed)
}
