package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/revocation/fetch"
	"culvert/selector"
)

// watched returns the certificates of a peer for the engine. It has those of the peer that come
// from a CA looked up whether they were revoked, and OCSP responses for ours at hand.
func (d *Daemon) watched(c *config.Config, p *config.Peer) *ike.Certificates {
	looks := p.Certificates != nil && p.Certificates.Trust != nil && p.Revocation != config.RevocationOff
	if !looks && !staples(p) {
		return p.Certificates
	}
	out := *p.Certificates
	if looks {
		checker := fetch.Checker{Fetcher: d.fetcher, CRLs: p.CRLs, Strict: p.Revocation == config.RevocationStrict, Avoid: behind(c, p)}
		out.Revoked = checker.Check
	}
	if staples(p) {
		out.Staple = d.stapler(c, p).Response
	}
	return &out
}

// staples reports whether OCSP responses are sent to a peer: those that are configured, and those
// for certificates that name a responder.
func staples(p *config.Peer) bool {
	return p.Staple && p.Certificates != nil && (len(p.OCSP) > 0 || namesResponder(p))
}

func namesResponder(p *config.Peer) bool {
	return slices.ContainsFunc(p.Certificates.Own, func(k ike.OwnKey) bool {
		return len(k.Chain) > 0 && len(k.Chain[0].OCSPServer) > 0
	})
}

func (d *Daemon) stapler(c *config.Config, p *config.Peer) *fetch.Stapler {
	return &fetch.Stapler{Fetcher: d.fetcher, Given: p.OCSP, Issuers: p.Certificates.Trust.Authorities(), Avoid: behind(c, p)}
}

// stapleLook is how often OCSP responses for our certificates are looked at, and fetched if they
// are half out of date.
const stapleLook = time.Minute

// watchStaples keeps OCSP responses for our certificates at hand until ctx ends.
func (d *Daemon) watchStaples(ctx context.Context) {
	tick := time.NewTicker(stapleLook)
	defer tick.Stop()
	for {
		d.lookAtStaples()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookAtStaples has the OCSP responses fetched that are missing or half out of date.
func (d *Daemon) lookAtStaples() {
	c, known := d.config(), fetch.Issuers{}
	for i := range c.Peers {
		if p := &c.Peers[i]; staples(p) {
			for _, own := range p.Certificates.Own {
				d.stapler(c, p).Refresh(own.Chain, d.now(), known)
			}
		}
	}
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
