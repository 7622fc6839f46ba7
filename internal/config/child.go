package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"culvert/esp"
	"culvert/ike"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/selector"
)

// Bounds and defaults of numbers in [[peer.child]].
const (
	defaultLifetime = time.Hour
	defaultReplay   = 4096
	maxReplay       = 1 << 16
	maxSelectors    = 255 // RFC 7296, Section 3.13: their number is one octet
)

// esnMode is [[peer.child]] esn.
type esnMode int

const (
	esnAuto esnMode = iota
	esnAlways
	esnNever
)

// readChild reads one child into p, as one of IKE's or a manual one.
func (l *loader) readChild(p *Peer, peer section, index int, values map[string]any) section {
	label := fmt.Sprintf("child%d", index+1)
	if name, ok := values["name"].(string); ok && name != "" {
		label = name
	}
	s := open(peer.file, fmt.Sprintf("%s.child[%d]", peer.path, index), fmt.Sprintf("%schild %q: ", peer.where, label), values, childKeys)
	c := ike.Child{Name: label}
	if _, ok := values["name"]; ok {
		c.Name = s.name("name", "child")
	}
	if c.Name != "" && slices.Contains(p.Order, c.Name) {
		s.fail("name", "name = %q is already used by another child of this peer; choose another name", c.Name)
	}
	p.Order = append(p.Order, c.Name)
	if c.Mode = []ike.ChildMode{ike.ModeTunnel, ike.ModeTransport}[s.word("mode", "tunnel", "transport")]; c.Mode == ike.ModeTransport {
		s.hosts(p, &c)
	} else {
		c.Local, c.Remote = s.selectors("local"), s.selectors("remote")
	}
	s.checkFamilies(&c)
	p.Routing = append(p.Routing, s.routing(c.Remote))
	c.Start = []ike.StartMode{ike.StartTraffic, ike.StartBoot, ike.StartNever}[s.word("start", "traffic", "boot", "never")]
	c.Narrow = []ike.NarrowMode{ike.NarrowTraffic, ike.NarrowPeer}[s.word("narrow", "traffic", "peer")]
	s.children(&c)
	if c.Start == ike.StartBoot && !peer.has("remote") {
		s.fail("start", "start = \"boot\" needs a remote address to initiate to; set remote in the peer, or omit start")
	}
	s.lifetime(&c)
	c.ReplayWindow = int(s.number("replay_window", defaultReplay, 0, maxReplay))
	esn := esnMode(s.word("esn", "auto", "always", "never"))
	if s.has("manual") {
		s.readManual(p, peer, c, esn)
		return s
	}
	c.Proposals = s.espProposals(esn, c.ReplayWindow, peer.pfs())
	p.Children = append(p.Children, c)
	return s
}

func (s section) selectors(name string) []selector.Selector {
	var out []selector.Selector
	for _, e := range s.list(name) {
		sel, err := selector.ParseSelector(e.text)
		if err != nil {
			s.fail(e.at, "%s: %v", name, err)
			continue
		}
		if slices.Contains(out, sel) {
			s.fail(e.at, "%s: %s is listed twice; remove one", name, sel)
		}
		if kind := notCarried(sel); kind != "" {
			s.fail(e.at, "%s: %s: tunnels do not carry %s addresses; remove it", name, sel, kind)
		}
		out = append(out, sel)
	}
	switch n := len(s.list(name)); {
	case n == 0:
		if s.has(name) || !s.file.failedAt(join(s.path, name)) {
			s.fail(name, "%s has no networks; list those on %s side, for example %s = [\"10.1.0.0/16\"]", name, map[string]string{"local": "this", "remote": "the peer's"}[name], name)
		}
	case n > maxSelectors:
		s.fail(name, "%s has %d selectors; use at most %d", name, n, maxSelectors)
	}
	return out
}

// failedAt reports whether an error was already reported at the line of a path.
func (f *file) failedAt(path string) bool {
	line, ok := f.lines[path]
	return ok && slices.ContainsFunc(f.errs, func(e *Error) bool { return e.File == f.name && e.Line == line })
}

// checkFamilies refuses an address family that only one side's selectors have: no packet could
// match them.
func (s section) checkFamilies(c *ike.Child) {
	if len(c.Local) == 0 || len(c.Remote) == 0 {
		return
	}
	for _, v6 := range []bool{false, true} {
		family := func(sel selector.Selector) bool { return sel.Is6() == v6 }
		local, remote := slices.ContainsFunc(c.Local, family), slices.ContainsFunc(c.Remote, family)
		if local == remote {
			continue
		}
		side, other := "local", "remote"
		if remote {
			side, other = other, side
		}
		s.fail(side, "%s has %s networks and %s has none, so no packet can match them; add some to %s, or remove them from %s", side, map[bool]string{false: "IPv4", true: "IPv6"}[v6], other, other, side)
	}
}

// children reads how many Child SAs carry the networks.
func (s section) children(c *ike.Child) {
	c.Children = []ike.ChildrenMode{ike.ChildrenOne, ike.ChildrenPerPair}[s.word("children", "one", "per-pair")]
	if n := ike.NetworkPairs(c.Local, c.Remote); c.Children == ike.ChildrenPerPair && n > ike.MaxNetworkPairs {
		s.fail("children", "children = \"per-pair\" makes %d Child SAs of these networks; use at most %d pairs, or divide them among several children", n, ike.MaxNetworkPairs)
	}
}

// lifetime reads the soft limits. The hard ones are a tenth larger.
func (s section) lifetime(c *ike.Child) {
	t := s.subtable("lifetime", lifetimeKeys)
	c.Lifetime = t.duration("time", defaultLifetime, minLifetime, false)
	bytes := t.size("bytes")
	packets := uint64(t.number("packets", 0, 0, math.MaxInt64/2))
	c.Limits = esp.Limits{SoftBytes: bytes, HardBytes: bytes + bytes/10, SoftPackets: packets, HardPackets: packets + packets/10}
}

// espProposals returns the child's proposals with the sequence numbers that esn selects. Without a
// replay window a receiver cannot follow the high half of extended sequence numbers (RFC 4303,
// Section 2.2.1), so auto then means never.
func (s section) espProposals(esn esnMode, window int, pfs pfsMode) []wire.Proposal {
	ps := suite.DefaultESPProposals()
	if s.has("proposals") {
		ps = s.proposals("proposals", suite.ParseESPProposal)
	}
	ps = pfs.apply(ps)
	if window == 0 && esn == esnAlways {
		s.fail("esn", "esn = \"always\" needs a replay window; set replay_window to 1 or more")
	}
	yes := wire.Transform{Type: wire.TransformESN, ID: wire.ESNYes}
	no := wire.Transform{Type: wire.TransformESN, ID: wire.ESNNo}
	for i := range ps {
		var wanted []wire.Transform
		switch {
		case esn == esnAlways:
			wanted = []wire.Transform{yes}
		case esn == esnNever || window == 0:
			wanted = []wire.Transform{no}
		case saysESN(s.list("proposals"), i):
			continue
		default:
			wanted = []wire.Transform{yes, no}
		}
		ts := slices.DeleteFunc(slices.Clone(ps[i].Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformESN })
		ps[i].Transforms = append(ts, wanted...)
	}
	return ps
}

// saysESN reports whether proposal i names esn or noesn, which then takes precedence over esn =
// "auto".
func saysESN(written []element, i int) bool {
	return i < len(written) && strings.Contains(strings.ToLower(written[i].text), "esn")
}
