package daemon

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"culvert/ike"
	"culvert/ike/wire"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/guard"
	"culvert/tun/protect"
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
	return d.status(d.config().Peers, peers, counters), nil
}

// StatusOf is Status with one peer and its parties, or one party, by the name that commands use for
// it. Its cost does not grow with the number of peers.
func (d *Daemon) StatusOf(ctx context.Context, name string) (*control.Status, error) {
	peers, counters, err := d.ike.StatusOfAll(ctx, name)
	if err != nil {
		return nil, stopping(err)
	}
	of := name
	if len(peers) > 0 {
		of = peers[0].Name
	}
	p := d.config().Peer(of)
	if p == nil {
		return nil, d.noPeer(ctx, name)
	}
	st := d.status([]config.Peer{*p}, peers, counters)
	st.Strangers = slices.DeleteFunc(st.Strangers, func(s control.Stranger) bool { return s.Claims != "" && s.Claims != p.Name })
	return st, nil
}

// noPeer returns the error for a name that is nobody's, with the names that exist.
func (d *Daemon) noPeer(ctx context.Context, name string) error {
	st, err := d.Status(ctx)
	if err != nil {
		return err
	}
	var known []string
	for i := range st.Peers {
		known = append(known, st.Peers[i].Address())
	}
	return control.NoPeer(name, known)
}

// status returns the status of configured peers, of which the engine says what peers are.
func (d *Daemon) status(configured []config.Peer, peers []ike.PeerStatus, counters map[string]uint64) *control.Status {
	now := d.now()
	stands, held := d.guard.status()
	fast := d.net.FastPath()
	st := &control.Status{Version: control.SchemaVersion, Uptime: seconds(now.Sub(d.started)), Guard: stands, FastPath: fast.In, FastSent: fast.Out, Peers: []control.Peer{}, Strangers: strangers(now, d.ike.Strangers()), Counters: counters}
	for _, more := range []map[string]uint64{d.plane.Counters(), d.device.Counters(), d.net.Counters(), d.routes.Counters()} {
		for name, n := range more {
			st.Counters[name] += n
		}
	}
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
			st.Peers = append(st.Peers, d.peer(now, &configured[i], s, held))
		}
	}
	return st
}

// guardDrops returns what the guard dropped for a policy; nil if it does not count for it. It
// counts for no party: it follows the policy in which those of all parties lie.
func guardDrops(policy ipsec.PolicyID, held map[protect.ID]guard.Drops) *control.ChildGuardDrops {
	n, ok := held[protect.ID(policy)]
	if !ok {
		return nil
	}
	return &control.ChildGuardDrops{Out: n.Out, In: n.In}
}

// peer returns the status of a configured peer. s is its IKE status; nil for a peer without IKE, or
// one that the engine does not have yet. held has the guard's drops by policy.
func (d *Daemon) peer(now time.Time, p *config.Peer, s *ike.PeerStatus, held map[protect.ID]guard.Drops) control.Peer {
	out := control.Peer{Name: p.Name, State: "down", Remote: configuredRemote(p), RemoteID: p.RemoteID.String(), NAT: "none", Children: []control.Child{}}
	if p.Local.IsValid() {
		out.Local = p.Local.String()
	}
	if len(p.Children) == 0 {
		out.State, out.RemoteID = "manual", ""
	}
	if s != nil {
		d.ikePeer(now, p, s, &out)
	}
	for _, name := range p.Order {
		if m := manualNamed(p, name); m != nil {
			out.Children = append(out.Children, d.manualChild(now, p, m, held))
			continue
		}
		child := childNamed(p, name)
		if child == nil {
			continue
		}
		of := childStatus(s, name)
		c := d.child(now, p, child, of)
		if of != nil {
			c.GuardDrops = guardDrops(of.Policy, held)
		}
		if s != nil && s.State == ike.PeerDown && c.TakenDown == nil && d.unresolved(p) != "" {
			c.Reason = "the peer's name is not resolved"
		}
		out.Children = append(out.Children, c)
	}
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
	if !s.Established.IsZero() {
		out.Established = ptr(seconds(now.Sub(s.Established)))
	}
	out.RekeyIn = until(now, s.RekeyAt)
	if n := s.Parties; n.Max > 0 {
		out.Parties = &control.Parties{Connected: n.Connected, Max: n.Max, Refused: n.Refused}
	}
	out.TakenDown = hold(now, s.Held)
	if s.State == ike.PeerDown && s.Held == nil {
		if why := d.unresolved(p); why != "" {
			out.Reason = why
		}
	}
}

func childStatus(s *ike.PeerStatus, name string) *ike.ChildStatus {
	if s == nil {
		return nil
	}
	for i := range s.Children {
		if s.Children[i].Name == name {
			return &s.Children[i]
		}
	}
	return nil
}

// child returns the status of a negotiated child; s is nil if the engine does not have it yet.
func (d *Daemon) child(now time.Time, p *config.Peer, c *ike.Child, s *ike.ChildStatus) control.Child {
	out := downChild(c.Name, c.Local, c.Remote)
	if s == nil {
		d.addStats(now, 0, &out)
		return out
	}
	d.addStats(now, s.Policy, &out)
	out.State, out.Proposal, out.Rekeys, out.Reason = childStates[s.State], s.Proposal, s.Rekeys, s.Reason
	out.SPIIn, out.SPIOut = espSPI(s.SPIIn), espSPI(s.SPIOut)
	out.RekeyIn, out.TakenDown = until(now, s.RekeyAt), hold(now, s.Held)
	if r := s.Role; r != nil {
		out.Role = &control.Role{Active: r.Active, For: max(0, seconds(now.Sub(r.Since))), Why: r.Why}
	}
	if s.Encap {
		out.Encap = "udp"
	}
	if len(s.LocalTS) > 0 {
		out.LocalTS, out.RemoteTS = selectors(s.LocalTS), selectors(s.RemoteTS)
	}
	out.AskedLocal, out.AskedRemote, out.Narrowed = selectors(s.AskedLocal), selectors(s.AskedRemote), s.Narrow
	if s.SPIIn == 0 {
		out.MTU = 0 // an old pair that is about to go
	}
	for _, r := range s.Resources {
		out.WorkerSAs = append(out.WorkerSAs, d.workerSA(now, r))
	}
	for _, part := range s.Parts {
		out.PartSAs = append(out.PartSAs, d.partSA(now, part))
	}
	return out
}

// downChild returns the status of a child without an SA.
func downChild(name string, local, remote []selector.Selector) control.Child {
	l, r := selectors(local), selectors(remote)
	return control.Child{Name: name, State: "down", Encap: "esp", LocalTS: l, RemoteTS: r, AskedLocal: l, AskedRemote: r, WorkerSAs: []control.WorkerSA{}, PartSAs: []control.PartSA{}}
}

// workerSA returns the status of a Child SA of a single worker.
func (d *Daemon) workerSA(now time.Time, r ike.ResourceStatus) control.WorkerSA {
	st, _ := d.plane.ChildStats(r.ID)
	return control.WorkerSA{
		Worker: r.Resource - 1, State: childStates[r.State], SPIIn: espSPI(r.SPIIn), SPIOut: espSPI(r.SPIOut), RekeyIn: until(now, r.RekeyAt),
		BytesIn: st.BytesIn, BytesOut: st.BytesOut, PacketsIn: st.PacketsIn, PacketsOut: st.PacketsOut, LastIn: since(now, st.LastIn), LastOut: since(now, st.LastOut),
	}
}

// partSA returns the status of a Child SA for a part of a child's networks.
func (d *Daemon) partSA(now time.Time, s ike.PartStatus) control.PartSA {
	st, _ := d.plane.ChildStats(s.ID)
	return control.PartSA{
		State: childStates[s.State], SPIIn: espSPI(s.SPIIn), SPIOut: espSPI(s.SPIOut), LocalTS: selectors(s.LocalTS), RemoteTS: selectors(s.RemoteTS), RekeyIn: until(now, s.RekeyAt),
		BytesIn: st.BytesIn, BytesOut: st.BytesOut, PacketsIn: st.PacketsIn, PacketsOut: st.PacketsOut, LastIn: since(now, st.LastIn), LastOut: since(now, st.LastOut),
	}
}

// manualChild returns the status of a manual child.
func (d *Daemon) manualChild(now time.Time, p *config.Peer, m *config.Manual, held map[protect.ID]guard.Drops) control.Child {
	out := downChild(m.Name, m.Local, m.Remote)
	d.mu.Lock()
	sa := d.manual[ipsec.PolicyName{Peer: p.Name, Child: m.Name}]
	d.mu.Unlock()
	d.addStats(now, sa.sa.Policy, &out)
	out.GuardDrops = guardDrops(sa.sa.Policy, held)
	out.Reason = sa.reason
	if why := d.unresolved(p); why != "" && sa.id == 0 {
		out.Reason = why
	}
	if sa.sa.Path.Encapsulated() {
		out.Encap = "udp"
	}
	if sa.id != 0 {
		out.State, out.SPIIn, out.SPIOut, out.Proposal = "installed", espSPI(m.SPIIn), espSPI(m.SPIOut), m.CipherName
		if m.ESN {
			out.Proposal += "-esn"
		}
	}
	return out
}

// addStats fills in a child's traffic in the packet path, over all its SAs.
func (d *Daemon) addStats(now time.Time, policy ipsec.PolicyID, out *control.Child) {
	st, ok := d.plane.PolicyStats(policy)
	if !ok {
		st.Drops = map[string]uint64{}
	}
	out.MTU, out.Drops = st.MTU, st.Drops
	out.BytesIn, out.BytesOut, out.PacketsIn, out.PacketsOut = st.BytesIn, st.BytesOut, st.PacketsIn, st.PacketsOut
	out.LastIn, out.LastOut = since(now, st.LastIn), since(now, st.LastOut)
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
