package daemon

import (
	"net/netip"
	"slices"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/revocation/fetch"
	"culvert/selector"
)

// watched returns the certificates of a peer for the engine, which has the peer's looked up whether
// they were revoked, if they come from a CA.
func (d *Daemon) watched(c *config.Config, p *config.Peer) *ike.Certificates {
	if p.Certificates == nil || p.Certificates.Trust == nil || p.Revocation == config.RevocationOff {
		return p.Certificates
	}
	checker := fetch.Checker{Fetcher: d.fetcher, CRLs: p.CRLs, Strict: p.Revocation == config.RevocationStrict, Avoid: behind(c, p)}
	out := *p.Certificates
	out.Revoked = checker.Check
	return &out
}

// behind returns a function that reports whether an address is reached through the tunnel of the
// peer: what is fetched from there would wait for the tunnel, which waits for it.
func behind(c *config.Config, p *config.Peer) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		in := func(b netip.Prefix) bool { return b.Contains(a) }
		return !slices.ContainsFunc(c.Daemon.Bypass, in) && slices.ContainsFunc(p.Children, func(ch ike.Child) bool {
			return !slices.ContainsFunc(p.RoutingOf(ch.Name).Bypass, in) && slices.ContainsFunc(ch.Remote, func(s selector.Selector) bool {
				return s.Start.BitLen() == a.BitLen() && s.Start.Compare(a) <= 0 && a.Compare(s.End) <= 0
			})
		})
	}
}

// crlsOf returns the octets of the configured CRLs.
func crlsOf(p *config.Peer) (out []string) {
	for _, c := range p.CRLs {
		out = append(out, string(c.DER()))
	}
	return out
}
