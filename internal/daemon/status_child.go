package daemon

import (
	"time"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/internal/verdict"
	"culvert/selector"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// guardDrops returns what the guard dropped for a policy; nil if it does not count for it. It
// counts for no party: it follows the policy in which those of all parties lie.
func guardDrops(policy ipsec.PolicyID, held map[protect.ID]guard.Drops) *control.ChildGuardDrops {
	n, ok := held[protect.ID(policy)]
	if !ok {
		return nil
	}
	return &control.ChildGuardDrops{Out: n.Out, In: n.In}
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

// child returns the status of a negotiated child, and its facts; s is nil if the engine does not
// have it yet.
func (d *Daemon) child(m *moment, c *ike.Child, s *ike.ChildStatus) (control.Child, verdict.Child) {
	out, now := downChild(c.Name, c.Local, c.Remote), m.now
	out.Mode = modeName(c.Mode == ike.ModeTransport)
	if s == nil {
		st := d.addStats(now, 0, &out)
		return out, d.childFacts(m, nil, &st)
	}
	st := d.addStats(now, s.Policy, &out)
	out.State, out.Proposal, out.Rekeys, out.Reason = childStates[s.State], s.Proposal, s.Rekeys, s.Reason
	out.SPIIn, out.SPIOut, out.Mode = espSPI(s.SPIIn), espSPI(s.SPIOut), modeName(s.Transport)
	out.RekeyIn, out.ExpiresIn, out.TakenDown = until(now, s.RekeyAt), until(now, s.ExpiresAt), hold(now, s.Held)
	out.Wanted = s.Wanted
	out.Failure = failure(now, s.Failure)
	if r := s.Role; r != nil {
		out.Role = &control.Role{Active: r.Active, For: max(0, seconds(now.Sub(r.Since))), Why: r.Why}
	}
	if out.EncapWhy = s.EncapWhy; s.Encap {
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
	return out, d.childFacts(m, s, &st)
}

func modeName(transport bool) string {
	if transport {
		return "transport"
	}
	return "tunnel"
}

// downChild returns the status of a child without an SA.
func downChild(name string, local, remote []selector.Selector) control.Child {
	l, r := selectors(local), selectors(remote)
	return control.Child{Name: name, State: "down", Mode: "tunnel", Encap: "esp", LocalTS: l, RemoteTS: r, AskedLocal: l, AskedRemote: r, WorkerSAs: []control.WorkerSA{}, PartSAs: []control.PartSA{}}
}

// workerSA returns the status of a Child SA of a single worker.
func (d *Daemon) workerSA(now time.Time, r ike.ResourceStatus) control.WorkerSA {
	st, _ := d.plane.ChildStats(r.ID)
	return control.WorkerSA{
		Worker: r.Resource - 1, State: childStates[r.State], SPIIn: espSPI(r.SPIIn), SPIOut: espSPI(r.SPIOut), RekeyIn: until(now, r.RekeyAt),
		SourcePort: st.SourcePort, SourceWhy: st.SourceWhy,
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

// manualChild returns the status of a manual child, and its facts.
func (d *Daemon) manualChild(at *moment, p *config.Peer, m *config.Manual) (control.Child, verdict.Child) {
	out := downChild(m.Name, m.Local, m.Remote)
	out.Mode = modeName(m.Transport)
	d.mu.Lock()
	sa := d.manual[ipsec.PolicyName{Peer: p.Name, Child: m.Name}]
	d.mu.Unlock()
	st := d.addStats(at.now, sa.sa.Policy, &out)
	out.GuardDrops = guardDrops(sa.sa.Policy, at.held)
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
		if d.usedUp(&sa) {
			out.Reason = "its sequence numbers are used up, and it sends nothing: give it new keys on both sides"
		}
	}
	return out, d.manualFacts(at, m, &sa, &st)
}

// addStats fills in a child's traffic in the packet path, over all its SAs, and returns it.
func (d *Daemon) addStats(now time.Time, policy ipsec.PolicyID, out *control.Child) dataplane.ChildStats {
	st, ok := d.plane.PolicyStats(policy)
	if !ok {
		st.Drops = map[string]uint64{}
	}
	out.MTU, out.Drops = st.MTU, st.Drops
	out.BytesIn, out.BytesOut, out.PacketsIn, out.PacketsOut = st.BytesIn, st.BytesOut, st.PacketsIn, st.PacketsOut
	out.LastIn, out.LastOut = since(now, st.LastIn), since(now, st.LastOut)
	return st
}
