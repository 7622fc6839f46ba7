package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
)

// IKE_AUTH has no key exchange for the Child SA, so that a tunnel comes up whatever the two sides
// have set for PFS. Whether it can be rekeyed shows at the first CREATE_CHILD_SA, usually an hour
// later. verify sends that at once.

// verify rekeys the Child SAs of a target that is up, and then its IKE SA.
func (d *Daemon) verify(ctx context.Context, p *config.Peer, t control.Target) (string, error) {
	for _, child := range p.Children {
		if t.Child != "" && t.Child != child.Name {
			continue
		}
		if err := d.ike.Do(ctx, ike.Rekey{Peer: t.Peer, Child: child.Name}); err != nil {
			return "", unverified(p, t, "the Child SA of "+child.Name, err)
		}
	}
	if err := d.ike.Do(ctx, ike.Rekey{Peer: t.Peer}); err != nil {
		return "", unverified(p, t, "the IKE SA", err)
	}
	return named(t) + " is up, and its Child SAs and its IKE SA can be rekeyed: each was, once", nil
}

// unverified returns the error about an SA that cannot be rekeyed, and what comes of it.
func unverified(p *config.Peer, t control.Target, sa string, err error) error {
	answer := failed(err)
	var refused *control.Error
	if !errors.As(answer, &refused) || refused.Code != http.StatusConflict {
		return answer // no outcome
	}
	follows := "a new IKE SA takes its place each time"
	if len(p.Remote) == 0 && p.RemoteName == "" {
		follows = "it ends with its lifetime unless the peer connects again"
	}
	refused.Text = fmt.Sprintf("%s is up, but %s cannot be rekeyed, so %s: %s", named(t), sa, follows, refused.Text)
	return refused
}
