package daemon

import (
	"slices"
	"strings"
	"time"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/internal/verdict"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// A moment is what is gathered once for the status of many peers.
type moment struct {
	now  time.Time
	held map[protect.ID]guard.Drops // the guard's drops by policy
	seen []dataplane.Sighting       // the last packets that were dropped
}

// moment gathers what the status of a peer needs beside what is its own.
func (d *Daemon) moment(held map[protect.ID]guard.Drops) *moment {
	return &moment{now: d.now(), held: held, seen: d.plane.Sightings()}
}

// peerFacts returns what is known of a peer as a whole, for verdicts. s is its IKE status; nil for
// a peer without IKE, or one that the engine does not have yet.
func (d *Daemon) peerFacts(m *moment, p *config.Peer, s *ike.PeerStatus) verdict.Peer {
	f := verdict.Peer{Now: m.now, Manual: len(p.Children) == 0, NoPolicy: droppedFlows(m.seen, func(s *dataplane.Sighting) bool { return s.Reason == "out_no_policy" }), Outer: slices.Clone(p.Remote)}
	if s == nil {
		return f
	}
	of := &s.Facts
	f.Up = s.State == ike.PeerEstablished || s.State == ike.PeerRekeying
	f.Held, f.Calls, f.Wanted, f.Heard, f.ESPBlocked = s.Held != nil, of.Calls || s.Parties.Max > 0 || p.RemoteName != "", of.Wanted, of.Heard, of.ESPBlocked
	f.Asked = verdict.Asked{To: of.Asked.To, Since: of.Asked.Since, Times: of.Asked.Times, PortChanged: of.Asked.PortChanged}
	if of.Asked.Times > 0 {
		f.Asked.Message = of.Asked.Exchange.String()
	}
	f.Begun = verdict.Begun{Times: of.Begun.Times, Since: of.Begun.Since}
	f.Unreachable, f.Failed, f.Offers = s.Unreachable, of.Failed, s.Failure.Explain
	if why := d.unresolved(p); why != "" && !f.Up {
		f.Failed = why
	}
	if s.Remote.IsValid() {
		f.Outer = append(f.Outer, s.Remote.Addr())
	}
	live(&f, d.ike.History(p.Name), s.Party)
	return f
}

// live notes from the events of a peer when its party was connected, when it last showed that it
// was restarted, and whether the last rekeying was refused.
func live(f *verdict.Peer, events []driver.Event, party string) {
	for i := range events {
		e := &events[i]
		if e.Party != party {
			continue
		}
		switch e.Event {
		case "ike-up":
			f.Established = append(f.Established, e.At)
		case "peer-restarted":
			f.Restarted = e.At
		case "rekey-refused":
			f.RekeyRefused, f.RekeyRefusedAt = e.Text, e.At
		case "child-rekeyed", "ike-rekeyed":
			f.RekeyRefused = ""
		}
	}
}

// childFacts returns what is known of a negotiated child, for verdicts; s is nil if the engine does
// not have it yet.
func (d *Daemon) childFacts(m *moment, s *ike.ChildStatus, st *dataplane.ChildStats) verdict.Child {
	f := verdict.Child{MTU: st.MTU, PathMTU: st.PathMTU, LinkMTU: st.LinkMTU}
	f.Unheard.Since, f.Unheard.Packets = st.Unheard.Since, st.Unheard.Packets
	if s == nil {
		return f
	}
	f.Name, f.Held, f.Wanted, f.Failed = s.Name, s.Held != nil, s.Wanted, s.Failed
	f.Offers = s.Failure.Explain
	f.Up = s.State == ike.ChildInstalled || s.State == ike.ChildRekeying
	f.Encapsulated, f.Narrowed = s.Encap, s.Narrow
	f.AskedLocal, f.AskedRemote, f.Local, f.Remote = s.AskedLocal, s.AskedRemote, s.LocalTS, s.RemoteTS
	f.Drops = d.drops(m, s.Policy, st)
	return f
}

// manualFacts returns what is known of a manual child, for verdicts.
func (d *Daemon) manualFacts(m *moment, c *config.Manual, sa *manualSA, st *dataplane.ChildStats) verdict.Child {
	f := d.childFacts(m, nil, st)
	f.Name, f.Up, f.AskedLocal, f.AskedRemote = c.Name, sa.id != 0, c.Local, c.Remote
	f.Encapsulated = sa.sa.Path.Encapsulated()
	f.Drops = d.drops(m, sa.sa.Policy, st)
	return f
}

// drops returns what of a policy was dropped lately.
func (d *Daemon) drops(m *moment, policy ipsec.PolicyID, st *dataplane.ChildStats) (list []verdict.Drop) {
	for reason, n := range st.Drops {
		if n = d.health.lately(policy, reason, n); n == 0 {
			continue
		}
		drop := verdict.Drop{Reason: reason, Count: n}
		seen := droppedFlows(m.seen, func(s *dataplane.Sighting) bool { return s.Drop == reason && s.Policy == policy })
		if len(seen) > 0 {
			drop.Last = seen[len(seen)-1]
		}
		list = append(list, drop)
	}
	slices.SortFunc(list, func(a, b verdict.Drop) int { return strings.Compare(a.Reason, b.Reason) })
	return list
}

// droppedFlows returns the last packets that were dropped, of those that are chosen.
func droppedFlows(seen []dataplane.Sighting, chosen func(*dataplane.Sighting) bool) (list []verdict.Flow) {
	for i := range seen {
		if s := &seen[i]; chosen(s) {
			list = append(list, verdict.Flow{Flow: s.Flow, At: s.At})
		}
	}
	return list
}

// verdictsShown returns verdicts as status has them.
func verdictsShown(list []verdict.Verdict) []control.Verdict {
	out := make([]control.Verdict, len(list))
	for i, v := range list {
		out[i] = control.Verdict{Code: string(v.Code), Level: v.Level.String(), Child: v.Child, Text: v.Text, Remedy: v.Remedy}
	}
	return out
}
