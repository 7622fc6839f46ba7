package daemon

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"culvert/ike"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/verdict"
	"culvert/selector"
)

// The states' names in status. An unknown value would be a bug, and shows as "".
var (
	peerStates = map[ike.PeerState]string{
		ike.PeerDown: "down", ike.PeerConnecting: "connecting", ike.PeerEstablished: "established", ike.PeerRekeying: "rekeying", ike.PeerClosing: "closing",
	}
	childStates = map[ike.ChildState]string{
		ike.ChildDown: "down", ike.ChildWaiting: "waiting", ike.ChildNegotiating: "negotiating", ike.ChildInstalled: "installed", ike.ChildRekeying: "rekeying",
	}
	natNames = map[ike.NATState]string{
		{}: "none", {Local: true}: "local", {Remote: true}: "remote", {Local: true, Remote: true}: "both",
	}
)

// Status returns a snapshot of every configured peer and child.
func (d *Daemon) Status(ctx context.Context) (*control.Status, error) {
	peers, counters, err := d.ike.Status(ctx)
	if err != nil {
		return nil, stopping(err)
	}
	c := d.config()
	st := d.status(c.Peers, peers, counters)
	st.Certificates = certificates(c.Certificates, d.now())
	return st, nil
}

// StatusOf is Status with one peer and its parties, or one party, by the name that commands use for
// it. Its cost does not grow with the number of peers, also if nobody has the name.
func (d *Daemon) StatusOf(ctx context.Context, name string) (*control.Status, error) {
	c := d.config()
	p := addressed(c, name)
	if p == nil {
		return nil, noPeer(c, name)
	}
	peers, counters, err := d.ike.StatusOfAll(ctx, name)
	if err != nil {
		return nil, stopping(err)
	}
	if len(peers) == 0 && p.Name != name {
		return nil, d.noParty(ctx, p, name)
	}
	st := d.status([]config.Peer{*p}, peers, counters)
	st.Certificates = certificates(config.CertificatesOf([]config.Peer{*p}), d.now())
	st.Strangers = slices.DeleteFunc(st.Strangers, func(s control.Stranger) bool { return s.Claims != "" && s.Claims != p.Name })
	return st, nil
}

// noParty returns the error for the name of a party that is not connected.
func (d *Daemon) noParty(ctx context.Context, p *config.Peer, name string) error {
	of, _, err := d.ike.StatusOf(ctx, p.Name)
	if err != nil {
		return stopping(err)
	}
	_, party, _ := strings.Cut(name, "#")
	return control.NoParty(p.Name, party, of.Parties.Connected)
}

// status returns the status of configured peers, of which the engine says what peers are.
func (d *Daemon) status(configured []config.Peer, peers []ike.PeerStatus, counters map[string]uint64) *control.Status {
	stands, held := d.guard.status()
	m := d.moment(held)
	fast := d.net.FastPath()
	st := &control.Status{Version: control.SchemaVersion, Uptime: seconds(m.now.Sub(d.started)), Guard: stands, FastPath: fast.In, FastSent: fast.Out, KeyLog: d.keys.folder(), Peers: []control.Peer{}, Strangers: strangers(m.now, d.ike.Strangers()), Counters: counters}
	d.addCounters(st.Counters)
	byName := map[string][]*ike.PeerStatus{} // several, of a peer with many parties
	for i := range peers {
		byName[peers[i].Name] = append(byName[peers[i].Name], &peers[i])
	}
	for i := range configured {
		list := byName[configured[i].Name]
		if len(list) == 0 {
			list = []*ike.PeerStatus{nil}
		}
		for _, s := range list {
			st.Peers = append(st.Peers, d.peer(m, &configured[i], s))
		}
	}
	return st
}

// addCounters adds the counters of everything but the engine.
func (d *Daemon) addCounters(sum map[string]uint64) {
	for _, more := range []map[string]uint64{d.plane.Counters(), d.device.Counters(), d.net.Counters(), d.routes.Counters(), d.fetcher.Counters()} {
		for name, n := range more {
			sum[name] += n
		}
	}
}

// peer returns the status of a configured peer. s is its IKE status; nil for a peer without IKE, or
// one that the engine does not have yet.
func (d *Daemon) peer(m *moment, p *config.Peer, s *ike.PeerStatus) control.Peer {
	out := control.Peer{Name: p.Name, State: "down", Remote: configuredRemote(p), RemoteID: p.RemoteID.String(), NAT: "none", Children: []control.Child{}}
	if p.Local.IsValid() {
		out.Local = p.Local.String()
	}
	if len(p.Children) == 0 {
		out.State, out.RemoteID = "manual", ""
	}
	if s != nil {
		d.ikePeer(m.now, p, s, &out)
	}
	facts := d.peerFacts(m, p, s)
	for _, name := range p.Order {
		if by := manualNamed(p, name); by != nil {
			c, f := d.manualChild(m, p, by)
			out.Children, facts.Children = append(out.Children, c), append(facts.Children, f)
			continue
		}
		child := childNamed(p, name)
		if child == nil {
			continue
		}
		of := childStatus(s, name)
		c, f := d.child(m, child, of)
		if of != nil {
			c.GuardDrops = guardDrops(of.Policy, m.held)
		}
		if s != nil && s.State == ike.PeerDown && c.TakenDown == nil && d.unresolved(p) != "" {
			c.Reason = "the peer's name is not resolved"
		}
		out.Children, facts.Children = append(out.Children, c), append(facts.Children, f)
	}
	out.Verdicts = verdictsShown(verdict.Judge(&facts))
	return out
}

func configuredRemote(p *config.Peer) string {
	if len(p.Remote) > 0 {
		return p.Remote[0].String()
	}
	return p.RemoteName
}

// ikePeer fills in the IKE status.
func (d *Daemon) ikePeer(now time.Time, p *config.Peer, s *ike.PeerStatus, out *control.Peer) {
	out.State, out.Proposal, out.NAT, out.Reason = peerStates[s.State], s.Proposal, natNames[s.NAT], s.Reason
	out.Party, out.SPIi, out.SPIr, out.Unreachable = s.Party, ikeSPI(s.SPIi), ikeSPI(s.SPIr), s.Unreachable
	if s.Remote.IsValid() {
		out.Remote = s.Remote.String()
	}
	if s.Local.Addr().IsValid() {
		out.Local = s.Local.String()
	}
	if s.RemoteID != "" {
		out.RemoteID = s.RemoteID
	}
	out.LocalID, out.Wanted, out.ExpiresIn = s.LocalID, s.Facts.Wanted, until(now, s.ExpiresAt)
	if s.SPIi != 0 {
		out.Role = map[bool]string{true: "initiator", false: "responder"}[s.Initiator]
	}
	out.Auth = authText(s.Auth)
	if !s.Established.IsZero() {
		out.Established = ptr(seconds(now.Sub(s.Established)))
	}
	out.RekeyIn = until(now, s.RekeyAt)
	if n := s.Parties; n.Max > 0 {
		out.Parties = &control.Parties{Connected: n.Connected, Max: n.Max, Refused: n.Refused}
	}
	out.Failure, out.RefusedCall = failure(now, s.Failure), failure(now, s.RefusedCall)
	out.TakenDown = hold(now, s.Held)
	if s.State == ike.PeerDown && s.Held == nil {
		if why := d.unresolved(p); why != "" {
			out.Reason = why
		}
	}
}

func selectors(list []selector.Selector) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.String()
	}
	return out
}

func ikeSPI(spi wire.SPI) string {
	if spi == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", uint64(spi))
}

func espSPI(spi uint32) string {
	if spi == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", spi)
}

// seconds returns d in seconds, rounded to a millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// hold returns the command that took something down; nil if there is none.
func hold(now time.Time, h *ike.Hold) *control.Hold {
	if h == nil {
		return nil
	}
	return &control.Hold{By: h.By, At: h.At.UTC().Truncate(time.Second), For: max(0, seconds(now.Sub(h.At)))}
}

// failure returns a failed negotiation; nil if none failed.
func failure(now time.Time, t reason.Trouble) *control.Failure {
	if t.Cause == "" {
		return nil
	}
	f := &control.Failure{Cause: string(t.Cause), Text: t.Reason, Details: append([]string{}, t.Explain...)}
	if !t.At.IsZero() {
		f.Last = *since(now, t.At)
	}
	return f
}

// since returns the seconds since t; nil for the zero time.
func since(now, t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	return ptr(max(0, seconds(now.Sub(t))))
}

// until returns the seconds until t; nil for the zero time.
func until(now, t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	return ptr(max(0, seconds(t.Sub(now))))
}

func ptr(f float64) *float64 { return &f }
