package ike

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// A simEdit changes a setting of a peer in a simulation, or the same setting of both sides.
type simEdit struct {
	field string // as in edits
	edit  func(s *simulation, e *simEnd, p *Peer, c *Child)
	rough bool // it closes SAs
	both  bool // the other side is changed as well, within a few seconds
}

// otherTestPSK is a secret that both sides accept in place of testPSK.
var otherTestPSK = []byte("the secret that is rotated in")

// simEdits are the changes that reloads make under traffic. Each leaves two sides that can work
// together, if it is made on both where that is said.
var simEdits = []simEdit{
	{field: "RemotePort", edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) { p.RemotePort = 500 - p.RemotePort }},
	{field: "RemoteNATPort", edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) { p.RemoteNATPort = 4500 - p.RemoteNATPort }},
	{field: "Remote", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		if n := len(p.Remote); n > 0 {
			p.Remote = append([]netip.Addr{nobody}, p.Remote[n-1])[s.rand.IntN(2):]
		}
	}},
	{field: "PSK", edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) {
		p.PSK, p.OtherPSKs = p.OtherPSKs[0], [][]byte{p.PSK}
	}},
	{field: "OtherPSKs", edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) {
		if p.OtherPSKs = slices.Clone(p.OtherPSKs); len(p.OtherPSKs) > 1 {
			p.OtherPSKs = p.OtherPSKs[:1]
		} else {
			p.OtherPSKs = append(p.OtherPSKs, []byte("a secret that nobody has"))
		}
	}},
	{field: "Certificates", edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) {
		if p.Certificates != nil {
			p.Certificates = s.otherCertificate(p.Certificates)
		}
	}},
	{field: "Auth", edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) { s.editAuth(e, &p.Auth) }},
	{field: "RemoteAuth", edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) { s.editRemoteAuth(e, &p.RemoteAuth) }},
	{field: "Proposals", edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) {
		extra := withGroup(testIKEProposal, wire.GroupMODP2048)
		if n := len(p.Proposals); n > 1 && reflect.DeepEqual(p.Proposals[n-1], extra) {
			p.Proposals = p.Proposals[:n-1]
		} else {
			p.Proposals = append(slices.Clone(p.Proposals), extra)
		}
	}},
	{field: "Lifetime", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		p.Lifetime = s.between(4*time.Minute, 15*time.Minute) + s.deafLife()
	}},
	{field: "AuthLifetime", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		if p.AuthLifetime > 0 {
			p.AuthLifetime = 0
		} else {
			p.AuthLifetime = s.between(10*time.Minute, 30*time.Minute)
		}
	}},
	{field: "DPD", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) { p.DPD = s.between(10*time.Second, 30*time.Second) }},
	{field: "DPDAction", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		never := slices.ContainsFunc(p.Children, func(c Child) bool { return c.Start == StartNever })
		if p.DPDAction != DPDClear && !never { // what was cleared stays down
			p.DPDAction = DPDRestart + DPDTrap - p.DPDAction
		}
	}},
	{field: "Fragment", edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) {
		if e.side.refuses == nil && e.side.other().refuses == nil {
			p.Fragment = []int{0, 300, 600, 1280}[s.rand.IntN(4)]
		}
	}},
	{field: "Childless", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) { p.Childless = s.drawChildless() }},
	{field: "Priority", edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) { p.Priority = s.rand.IntN(3) }},
	{field: "Children", edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) {
		if n := len(p.Children); p.Children[n-1].Name == "extra" {
			p.Children = p.Children[:n-1]
		} else if !p.Parties && !s.alone {
			extra := testChild(e.side, "extra", 9)
			extra.Start = StartNever
			p.Children = append(p.Children, extra)
		}
	}},
	{field: "child Proposals", edit: func(_ *simulation, _ *simEnd, _ *Peer, c *Child) {
		extra := withGroup(testESPProposal, wire.GroupMODP2048)
		if n := len(c.Proposals); n > 1 && reflect.DeepEqual(c.Proposals[n-1], extra) {
			c.Proposals = c.Proposals[:n-1]
		} else {
			c.Proposals = append(slices.Clone(c.Proposals), extra)
		}
	}},
	{field: "child Start", edit: func(_ *simulation, _ *simEnd, p *Peer, c *Child) {
		if c.Start != StartNever {
			c.Start = StartTraffic + StartBoot - c.Start
		}
	}},
	{field: "child Narrow", edit: func(_ *simulation, _ *simEnd, _ *Peer, c *Child) { c.Narrow = NarrowTraffic + NarrowPeer - c.Narrow }},
	{field: "child Lifetime", edit: func(s *simulation, _ *simEnd, _ *Peer, c *Child) {
		c.Lifetime = s.between(2*time.Minute, 8*time.Minute) + s.deafLife()
	}},
	{field: "child Limits", edit: func(s *simulation, _ *simEnd, _ *Peer, c *Child) {
		c.Limits.SoftPackets = uint64(1+s.rand.IntN(9)) << 30
	}},
	{field: "child ReplayWindow", edit: func(s *simulation, _ *simEnd, _ *Peer, c *Child) { c.ReplayWindow = 64 << s.rand.IntN(4) }},

	{field: "Local", rough: true, edit: func(s *simulation, e *simEnd, p *Peer, _ *Child) {
		if p.Local.IsValid() {
			p.Local = netip.Addr{}
		} else if !s.roams && (len(p.Remote) == 0 || p.Remote[len(p.Remote)-1].Is4()) && e.side.other().addrs[0].Is4() && !s.sixes {
			p.Local = e.side.addrs[0]
		}
	}},
	{field: "Encap", rough: true, both: true, edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		if s.p.left.nat == nil {
			p.Encap = EncapAuto + EncapAlways - p.Encap
			s.eat(simEats{})
		}
	}},
	{field: "PerResource", rough: true, edit: func(s *simulation, _ *simEnd, p *Peer, _ *Child) {
		if s.resources > 0 {
			p.PerResource = !p.PerResource
		}
	}},
	{field: "LocalID", rough: true, both: true, edit: func(_ *simulation, e *simEnd, p *Peer, _ *Child) { renamed(e.side, p, "left") }},
	{field: "RemoteID", rough: true, both: true, edit: func(_ *simulation, e *simEnd, p *Peer, _ *Child) { renamed(e.side, p, "right") }},
	{field: "child Local", rough: true, edit: func(_ *simulation, _ *simEnd, p *Peer, c *Child) {
		if !p.Parties && c.Local[0].Start != c.Local[0].End {
			c.Local = slices.Clone(c.Local)[:1]
			c.Local[0] = half(c.Local[0])
		}
	}},
	{field: "child Remote", rough: true, edit: func(_ *simulation, _ *simEnd, p *Peer, c *Child) {
		if !p.Parties && len(c.Remote) == 1 && !betweenHosts(c) {
			c.Remote = append(slices.Clone(c.Remote), elsewhere...)
		}
	}},
	{field: "child Children", rough: true, edit: func(_ *simulation, _ *simEnd, p *Peer, c *Child) {
		if !p.Parties && !betweenHosts(c) {
			c.Children = ChildrenPerPair - c.Children
		}
	}},
	{field: "child Mode", rough: true, both: true, edit: func(s *simulation, _ *simEnd, _ *Peer, c *Child) {
		if betweenHosts(c) && s.p.left.nat == nil { // behind a NAT the two views make no tunnel
			c.Mode = ModeTransport + ModeTunnel - c.Mode
		}
	}},
}

// unedited are the fields that reloads of simulations leave, and why.
var unedited = map[string]string{
	"Name":       "it makes another peer",
	"Transport":  "a simulation has datagrams only",
	"Parties":    "it is another use of the entry",
	"Credential": "it stands for the secret, which is edited",
	"child Name": "it makes another child, as Children does",
}

// nobody is an address where nobody is.
var nobody = netip.MustParseAddr("192.0.2.99")

// renamed changes a side's identity, as the given side sees it.
func renamed(at *testSide, p *Peer, whose string) {
	id := &p.LocalID
	if at.name != whose {
		id = &p.RemoteID
	}
	if at.p.right.peers[0].Parties || id.Type != wire.IDFQDN {
		return
	}
	*id = identity.ID{Type: wire.IDFQDN, Data: map[bool]string{true: "b." + whose, false: "a." + whose}[id.Data != "b."+whose]}
}

// allSimEdits returns simEdits and, as they stand in edits, those of other settings that close
// nothing.
func allSimEdits() []simEdit {
	list := slices.Clone(simEdits)
	for _, e := range edits {
		known := slices.ContainsFunc(simEdits, func(s simEdit) bool { return s.field == e.field })
		if !known && unedited[e.field] == "" && e.reach <= ReachRekey {
			list = append(list, simEdit{field: e.field, edit: func(_ *simulation, _ *simEnd, p *Peer, _ *Child) { e.edit(p) }})
		}
	}
	return list
}

// Every setting is reloaded in the simulation, or it is said why not.
func TestSimulationReloadsEverySetting(t *testing.T) {
	list := allSimEdits()
	for _, e := range edits {
		i := slices.IndexFunc(list, func(s simEdit) bool { return s.field == e.field })
		if done := i >= 0; done == (unedited[e.field] != "") {
			t.Errorf("%s: edited %v, left %q", e.field, done, unedited[e.field])
		} else if done && list[i].rough != (e.reach >= ReachChild) {
			t.Errorf("%s: rough %v", e.field, list[i].rough)
		}
	}
	if len(list)+len(unedited) != len(edits) {
		t.Errorf("%d edits and %d left of %d", len(list), len(unedited), len(edits))
	}
}

// reload changes a setting that closes nothing.
func (s *simulation) reload(e *simEnd) { s.reloadAny(e, false) }

// reloadRough changes a setting that closes SAs.
func (s *simulation) reloadRough(e *simEnd) { s.reloadAny(e, true) }

func (s *simulation) reloadAny(e *simEnd, rough bool) {
	list := allSimEdits()
	x := list[s.rand.IntN(len(list))]
	if x.rough != rough || s.entries && slices.Contains(simEntriesLeave, x.field) {
		s.apply(e, nil)
		return
	}
	s.apply(e, &x)
	if !x.both {
		return
	}
	other := s.tunnelOf(e).other(e)
	s.differing++
	s.p.events.add(s.p.now.Add(s.between(0, 10*time.Second)), func() {
		s.differing--
		s.apply(other, &x)
	})
}

func (s *simulation) tunnelOf(e *simEnd) *simTunnel {
	for _, tu := range s.tunnels {
		if &tu.ends[0] == e || &tu.ends[1] == e {
			return tu
		}
	}
	return nil
}

// apply makes a change as the daemon does, by all peers or by the one; nil: nothing changes. A side
// that is not running starts with it.
func (s *simulation) apply(e *simEnd, x *simEdit) {
	side := e.side
	list := slices.Clone(side.peers)
	p := &list[e.peer]
	p.Children = slices.Clone(p.Children)
	if x != nil {
		x.edit(s, e, p, childOf(p, e.name.Child))
		s.p.note("--- %s reloads with another %s", side.name, x.field)
		if x.rough {
			s.upset()
		}
	}
	side.peers = list
	if side.e == nil {
		return
	}
	if s.chance(0.5) {
		side.handle(PlanPeers{Set: list, Whole: true})
		side.handle(SetPeers{Peers: slices.Clone(list)})
	} else {
		side.handle(PlanPeers{Set: list[e.peer : e.peer+1]})
		side.handle(ChangePeers{Set: slices.Clone(list[e.peer : e.peer+1])})
	}
}

// extraSAs returns the SAs of the children that reloads added: a command for a whole peer brings
// them up.
func (s *testSide) extraSAs() (list []*planeSA) {
	for _, psa := range s.plane.sas {
		if pol := s.e.policies.byID[psa.sa.Policy]; pol != nil && pol.Name.Child == "extra" {
			list = append(list, psa)
		}
	}
	return list
}
