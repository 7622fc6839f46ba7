package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"culvert/ike"
	"culvert/ike/wire"
	"culvert/internal/control"
)

// agreed says step by step what the two sides of an IKE SA agreed on, a line for each step.
func (d *Daemon) agreed(ctx context.Context, peer string) string {
	st, ok, err := d.ike.StatusOf(ctx, peer)
	switch {
	case err != nil || !ok:
		return peer + " was up, and its state cannot be told: " + fmt.Sprint(err)
	case st.State == ike.PeerDown:
		return peer + " was up, and is down again: " + st.Reason
	}
	lines := []string{
		fmt.Sprintf("IKE_SA_INIT: %s to %s, NAT: %s", st.Local, st.Remote, natNames[st.NAT]),
		"IKE_SA_INIT: proposal " + st.Proposal,
		fmt.Sprintf("IKE_AUTH: the peer is %s, by %s", st.RemoteID, methodText(st.Auth.Theirs)),
		fmt.Sprintf("IKE_AUTH: this side is %s, by %s", st.LocalID, methodText(st.Auth.Ours)),
	}
	var up []string
	for _, c := range st.Children {
		if c.State == ike.ChildInstalled || c.State == ike.ChildRekeying {
			up = append(up, c.Name)
		}
	}
	if len(up) > 0 {
		return strings.Join(append(lines, fmt.Sprintf("%s is up, and so is %s", peer, strings.Join(up, ", "))), "\n")
	}
	return strings.Join(append(lines, peer+" is up, as an IKE SA without a Child SA"), "\n")
}

// methodText returns the name of an authentication method: IANA's, except where people have
// another.
func methodText(m wire.AuthMethod) string {
	if m == wire.AuthSharedKey {
		return "pre-shared key"
	}
	return m.String()
}

// authText says how both sides proved who they are.
func authText(m ike.AuthMethods) string {
	switch {
	case m == ike.AuthMethods{}:
		return ""
	case m.Ours == m.Theirs:
		return methodText(m.Ours)
	}
	return fmt.Sprintf("ours by %s, theirs by %s", methodText(m.Ours), methodText(m.Theirs))
}

// detailed adds the last refused call from the peer's address to the error of an up that failed
// without a negotiation of ours.
func (d *Daemon) detailed(ctx context.Context, a control.Action, t control.Target, err error) error {
	var refused *control.Error
	if a != control.Up || !errors.As(err, &refused) || refused.Code != http.StatusConflict || refused.Cause != "" {
		return err
	}
	if st, ok, err := d.ike.StatusOf(ctx, t.Peer); err == nil && ok && st.RefusedCall.Cause != "" {
		refused.Details = append([]string{"its last call: " + st.RefusedCall.Reason}, st.RefusedCall.Explain...)
	}
	return refused
}
