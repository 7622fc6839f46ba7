package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/tun"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

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
