package daemon

import (
	"context"
	"fmt"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
)

// Explain returns lines on a peer: its state, its last failure at length, its last events, and the
// strangers that may have been the peer.
func (d *Daemon) Explain(ctx context.Context, name string) ([]string, error) {
	c := d.config()
	p := addressed(c, name)
	if p == nil {
		return nil, noPeer(c, name)
	}
	s, ok, err := d.ike.StatusOf(ctx, name)
	switch {
	case err != nil:
		return nil, stopping(err)
	case !ok:
		return d.explain(p, nil), nil
	}
	return d.explain(p, &s), nil
}

func (d *Daemon) explain(p *config.Peer, s *ike.PeerStatus) []string {
	st := d.peer(d.moment(nil), p, s)
	lines := verdictLines(&st)
	lines = append(lines, because(st.Address(), st.State, st.Beside(st.State, st.Reason)))
	for _, c := range st.Children {
		lines = append(lines, because(addressOf(&st, c.Name), c.State, st.Beside(c.State, c.Reason)))
	}
	if s != nil && len(s.Explain) > 0 {
		lines = append(lines, "", "the last failure:")
		for _, line := range s.Explain {
			lines = append(lines, "  "+line)
		}
	}
	if events := d.ike.History(p.Name); len(events) > 0 {
		lines = append(lines, "", "the last events:")
		for _, e := range events {
			lines = append(lines, "  "+eventLine(e))
		}
	}
	return append(lines, explainStrangers(p, d.ike.Strangers())...)
}

// verdictLines tells the verdicts on a peer, each with its remedy.
func verdictLines(p *control.Peer) (lines []string) {
	for i := range p.Verdicts {
		v := &p.Verdicts[i]
		lines = append(lines, addressOf(p, v.Child)+": "+v.Text)
		if v.Remedy != "" {
			lines = append(lines, "  "+v.Remedy)
		}
	}
	return lines
}

// addressOf returns the name of a child, or without one of the peer.
func addressOf(p *control.Peer, child string) string {
	if child == "" {
		return p.Address()
	}
	return p.Address() + "/" + child
}

func because(what, state, reason string) string {
	if reason == "" {
		return fmt.Sprintf("%s is %s", what, state)
	}
	return fmt.Sprintf("%s is %s: %s", what, state, reason)
}

func eventLine(e driver.Event) string {
	what := e.Event
	if e.Party != "" {
		what = e.Party + " " + what
	}
	if e.Child != "" {
		what = e.Child + " " + what
	}
	return fmt.Sprintf("%s %s: %s", e.At.Local().Format("2006-01-02 15:04:05"), what, e.Text)
}
