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

// outside finds what a full tunnel (0.0.0.0/0, ::/0) leaves outside without being told: the
// networks that are attached to this host, by which it has its addresses, routes and time, and the
// servers of its stub resolver where a peer has a DNS name, as the tunnel waits for the name. What
// the tunnels themselves send has a mark, and is outside in any case; so are the daemon's own
// questions to a resolver.
type outside struct {
	view func() *host.View
	stub func() host.Stub
	log  *slog.Logger

	said   []string // what is outside, as it was logged last
	warned bool     // that the servers of the stub resolver are not known
}

func newOutside(log *slog.Logger) *outside {
	const root = "/"
	return &outside{view: func() *host.View { return &host.View{Links: host.Links(root)} }, stub: func() host.Stub { return host.Resolver(root) }, log: log}
}

// prefixes returns what is outside of the full tunnels of a configuration, and tells of it when it
// is news.
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

// resolvers returns the servers of the stub resolver of this host, if a name hangs on it.
func (o *outside) resolvers(c *config.Config) []netip.Addr {
	if !slices.ContainsFunc(c.Peers, func(p config.Peer) bool { return p.RemoteName != "" }) {
		return nil
	}
	s := o.stub()
	if s.Found && len(s.Upstreams) == 0 && !o.warned {
		o.warned = true
		o.log.Warn("the resolver of this host asks servers that cannot be told, through a tunnel that may wait for their answer: add the addresses of these servers to [daemon] bypass", "event", "resolver-unknown")
	}
	return slices.DeleteFunc(s.Upstreams, netip.Addr.IsLinkLocalUnicast)
}

// hasFullTunnel reports whether a child routes a whole family to the device.
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

// exempt has the flows leave out what is bypassed for all, and what is outside of full tunnels,
// and returns what changed. d.applying is held.
func (d *Daemon) exempt(c *config.Config) (protect.Change, error) {
	change := d.flows.Exempt(c.Daemon.Bypass, d.outside.prefixes(c))
	if len(change.Groups) == 0 {
		return change, nil
	}
	return change, d.follow(c, change)
}

// exemptResolver looks again for whom the resolver asks, as a name was not found. d.applying is
// held.
func (d *Daemon) exemptResolver(c *config.Config) {
	if _, err := d.exempt(c); err != nil {
		d.log.Warn("the resolver's servers are not outside of the tunnel", "event", "outside-failed", "error", err)
	}
}

// followHost has the flows follow this host's links and addresses until ctx ends.
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
		d.log.Warn("this host's networks changed, and what is outside of the tunnel did not follow", "event", "outside-failed", "error", err)
	}
}
