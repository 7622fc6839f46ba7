package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"culvert/internal/config"
	"culvert/internal/host"
	"culvert/selector"
	"culvert/tun/protect"
)

// outside finds the addresses that a full tunnel (0.0.0.0/0, ::/0) leaves outside by itself: the
// networks attached to this host, which give it its addresses, routes and time, and the servers
// behind its stub resolver if a peer has a DNS name, because the tunnel waits for that name. The
// tunnels' own packets and the daemon's own DNS queries carry a mark and are outside in any case.
type outside struct {
	view func() *host.View
	stub func() host.Stub
	log  *slog.Logger

	said   []string // the addresses of the last log line
	warned bool     // the warning about unknown servers of the stub resolver was logged
}

func newOutside(log *slog.Logger) *outside {
	const root = "/"
	return &outside{view: func() *host.View { return &host.View{Links: host.Links(root)} }, stub: func() host.Stub { return host.Resolver(root) }, log: log}
}

// prefixes returns the addresses outside of the full tunnels of a configuration, and logs them
// after a change.
func (o *outside) prefixes(c *config.Config) []netip.Prefix {
	if o == nil || !hasFullTunnel(c) {
		return nil
	}
	var out []netip.Prefix
	var words []string
	for _, n := range o.view().Attached(c.Daemon.TUN) {
		out = append(out, n.Network)
		words = append(words, n.Network.String()+" ("+n.Link+")")
	}
	for _, a := range o.resolvers(c) {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
		words = append(words, a.String()+" (resolver)")
	}
	if !slices.Equal(words, o.said) {
		o.said = words
		o.log.Info("outside of the tunnel: "+strings.Join(words, ", "), "event", "outside")
	}
	return out
}

// resolvers returns the servers behind this host's stub resolver, if a peer has a DNS name.
func (o *outside) resolvers(c *config.Config) []netip.Addr {
	if !slices.ContainsFunc(c.Peers, func(p config.Peer) bool { return p.RemoteName != "" }) {
		return nil
	}
	s := o.stub()
	if s.Found && len(s.Upstreams) == 0 && !o.warned {
		o.warned = true
		o.log.Warn("the servers behind this host's stub resolver are not known, and a tunnel may wait for their answers: add their addresses to [daemon] bypass", "event", "resolver-unknown")
	}
	return slices.DeleteFunc(s.Upstreams, netip.Addr.IsLinkLocalUnicast)
}

// hasFullTunnel reports whether a child routes a whole address family to the device.
func hasFullTunnel(c *config.Config) bool {
	whole := func(p netip.Prefix) bool { return p.Bits() == 0 }
	found := false
	each(c, func(p *config.Peer, name string, _, remote []selector.Selector) {
		switch r := p.RoutingOf(name); r.Routes {
		case config.RoutesAuto:
			found = found || slices.ContainsFunc(remote, func(s selector.Selector) bool { n, ok := s.Prefix(); return ok && whole(n) })
		case config.RoutesListed:
			found = found || slices.ContainsFunc(r.To, whole)
		}
	})
	return found
}

// exempt takes the common bypass and the addresses outside of full tunnels out of the flows, and
// returns the change. d.applying is held.
func (d *Daemon) exempt(c *config.Config) (protect.Change, error) {
	change := d.flows.Exempt(c.Daemon.Bypass, d.outside.prefixes(c))
	if len(change.Groups) == 0 {
		return change, nil
	}
	return change, d.follow(c, change)
}

// exemptResolver finds the resolver's servers again after a failed lookup. d.applying is held.
func (d *Daemon) exemptResolver(c *config.Config) {
	if _, err := d.exempt(c); err != nil {
		d.log.Warn("the resolver's servers could not be put outside of the tunnel", "event", "outside-failed", "error", err)
	}
}

// followHost updates the flows after changes of this host's links and addresses, until ctx ends.
func (d *Daemon) followHost(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			d.hostChanged()
		}
	}
}

func (d *Daemon) hostChanged() {
	d.applying.Lock()
	defer d.applying.Unlock()
	if _, err := d.exempt(d.config()); err != nil {
		d.log.Warn("this host's networks changed, but could not be put outside of the tunnel", "event", "outside-failed", "error", err)
	}
}
