package verdict

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"culvert/selector"
)

// The codes of verdicts on what goes through a tunnel.
const (
	ESPBlocked      Code = "esp-blocked"
	NothingReceived Code = "nothing-received"
	ForeignSource   Code = "source-not-covered"
	Dropping        Code = "dropping"
	Narrowed        Code = "narrowed"
	SmallPath       Code = "small-path"
	Loops           Code = "loop"
)

const (
	// A child for which packets are sent and none come is told of after these: a host that answers
	// slowly is not silence.
	unheardPackets = 3
	unheardFor     = 2500 * time.Millisecond
	// lately is how long a dropped packet is told of.
	lately = time.Minute
	// dropsEnough is how many packets are dropped within about a minute before it is told.
	dropsEnough = 10
)

// espBlocked: what the peer answered shows that no ESP passes.
func espBlocked(p *Peer) Verdict {
	if !p.Up || !p.ESPBlocked {
		return Verdict{}
	}
	return Verdict{
		Code: ESPBlocked, Level: Bad,
		Text:   "ESP arrives neither in UDP port 4500 nor as IP protocol 50, while the peer answers IKE",
		Remedy: "let UDP port 4500 or IP protocol 50 pass on the way, in both directions",
	}
}

// nothingReceived: packets are sent, and none come.
func nothingReceived(p *Peer, c *Child) Verdict {
	u := &c.Unheard
	if !p.Up && !p.Manual || !c.Up || p.ESPBlocked || p.Asked.Times > 0 || u.Since.IsZero() ||
		u.Packets < unheardPackets || p.Now.Sub(u.Since) < unheardFor {
		return Verdict{}
	}
	text := fmt.Sprintf("sent %s in %s and received none", packets(u.Packets), span(p.Now.Sub(u.Since)))
	if !p.Manual && p.Heard.Before(u.Since) {
		return Verdict{
			Code: InDoubt, Level: Warn,
			Text:   fmt.Sprintf("in doubt: %s, and nothing of IKE either for %s", text, span(p.Now.Sub(p.Heard))),
			Remedy: "is the peer on, and has its address or the way changed? it is asked when dpd says so; `culvert down` and `up` ask at once",
		}
	}
	way, other := "IP protocol 50", ` or send ESP in UDP by encap = "always"`
	if c.Encapsulated {
		way, other = "ESP in UDP", ""
	}
	if !p.Manual {
		text += ", while the peer answers IKE"
	}
	return Verdict{
		Code: NothingReceived, Level: Warn,
		Text:   fmt.Sprintf("%s: %s may be dropped on the way", text, way),
		Remedy: fmt.Sprintf("if these flows are to be answered, let %s pass in both directions%s; or the peer, or what is behind it, drops them or has no way back", way, other),
	}
}

// foreignSource: packets that could be the child's by their destination are not by their source.
func foreignSource(p *Peer, c *Child) Verdict {
	for i := range p.NoPolicy {
		f := &p.NoPolicy[i]
		if p.Now.Sub(f.At) > lately || !covers(c.AskedRemote, &f.Flow, true) || covers(c.AskedLocal, &f.Flow, false) {
			continue
		}
		return Verdict{
			Code: ForeignSource, Level: Warn,
			Text: fmt.Sprintf("packets to its networks are dropped, as their source is not in its local networks: %s, %s",
				flowText(&f.Flow), list(c.AskedLocal)),
			Remedy: "if another address was meant as the source, exempt these packets from masquerading (NAT) on this host, or bind the program to it; else add the source on both sides",
		}
	}
	return Verdict{}
}

// covers reports whether selectors hold one address of a flow, whatever the ports.
func covers(list []selector.Selector, f *selector.Flow, destination bool) bool {
	addr := f.Src
	if destination {
		addr = f.Dst
	}
	return slices.ContainsFunc(list, func(s selector.Selector) bool {
		return slices.ContainsFunc(s.Prefixes(), func(n netip.Prefix) bool { return n.Contains(addr) })
	})
}

// A dropWord is what a reason means to an operator.
type dropWord struct{ text, remedy string }

// dropWords are the reasons that are told; others are usual, or counted only.
var dropWords = map[string]dropWord{
	"icv":               {"packets of the peer failed their integrity check: they were changed on the way, or its keys are others", "rekey the child; if it stays, something on the way changes packets"},
	"replay":            {"packets of the peer came again or too late", "a copy on the way, or a path that reorders: see the replay window of the child"},
	"selector_mismatch": {"packets of the peer are not of this child's networks", "the peer sends others than were agreed: compare the networks of both sides"},
	"not_granted":       {"packets of this side are outside of what the peer granted", "compare the networks of both sides, as the peer has fewer"},
	"bad_inner":         {"what the peer sent holds no IP packet", "the peer is broken, or its keys are others"},
	"unrecorded":        {"sequence numbers could not be put on disk in time", "see the disk that [daemon] state is on"},
	"expired":           {"the SA had reached its end", "a rekeying did not come in time: see the reason of the child"},
	"header":            {"packets have options that transport mode does not carry", `use mode = "tunnel"`},
	"tun_full":          {"this host did not take packets from the device in time", "the programs or the CPU of this host are too slow for what comes"},
	"ecn":               {"packets were marked as congested that must not be", "something on the way marks packets wrongly (RFC 6040)"},
}

// drops: packets are dropped, more than now and then.
func drops(p *Peer, c *Child) Verdict {
	var most *Drop
	for i := range c.Drops {
		d := &c.Drops[i]
		if _, known := dropWords[d.Reason]; known && d.Count >= dropsEnough && (most == nil || d.Count > most.Count) {
			most = d
		}
	}
	if most == nil {
		return Verdict{}
	}
	word := dropWords[most.Reason]
	text := fmt.Sprintf("%s dropped within a minute (%s): %s", packets(most.Count), most.Reason, word.text)
	if most.Last.Src.IsValid() && p.Now.Sub(most.Last.At) <= lately {
		text += "; the last one was " + flowText(&most.Last.Flow)
	}
	return Verdict{Code: Dropping, Level: Warn, Text: text, Remedy: word.remedy}
}

// narrowed: the peer granted less than was asked for.
func narrowed(_ *Peer, c *Child) Verdict {
	if !c.Up || !c.Narrowed {
		return Verdict{}
	}
	return Verdict{
		Code: Narrowed, Level: Note,
		Text: fmt.Sprintf("the peer granted %s <-> %s of %s <-> %s; packets outside are refused",
			list(c.Local), list(c.Remote), list(c.AskedLocal), list(c.AskedRemote)),
		Remedy: "give both sides the same networks",
	}
}

// smallPath: the path takes less than this host's link.
func smallPath(_ *Peer, c *Child) Verdict {
	if !c.Up || c.PathMTU == 0 || c.PathMTU >= c.LinkMTU || c.MTU == 0 {
		return Verdict{}
	}
	return Verdict{
		Code: SmallPath, Level: Note,
		Text: fmt.Sprintf("the path takes packets of %d octets, and this host's link %d: packets inside have up to %d", c.PathMTU, c.LinkMTU, c.MTU),
	}
}

// loops: packets of the tunnel's own outside come out of its device.
func loops(p *Peer) Verdict {
	for i := range p.NoPolicy {
		f := &p.NoPolicy[i]
		if p.Now.Sub(f.At) > lately || !slices.Contains(p.Outer, f.Dst) || !outer(&f.Flow) {
			continue
		}
		return Verdict{
			Code: Loops, Level: Bad,
			Text:   fmt.Sprintf("a loop: packets of IKE or ESP to the peer are routed into the tunnel: %s", flowText(&f.Flow)),
			Remedy: "another program sends them, or removed culvert's routing rules: see `ip rule` and `ip route get " + f.Dst.String() + "`",
		}
	}
	return Verdict{}
}

// outer reports whether a flow is of IKE or ESP.
func outer(f *selector.Flow) bool {
	const esp, udp = 50, 17
	return f.Protocol == esp || f.Protocol == udp && (f.DstPort == 500 || f.DstPort == 4500)
}

func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}

// flowText writes a flow for people.
func flowText(f *selector.Flow) string {
	name := map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 58: "icmpv6"}[f.Protocol]
	if name == "" {
		name = fmt.Sprintf("protocol %d", f.Protocol)
	}
	if (f.Protocol == 6 || f.Protocol == 17) && !f.PortsUnknown {
		name = fmt.Sprintf("%s port %d", name, f.DstPort)
	}
	return fmt.Sprintf("%v to %v, %s", f.Src, f.Dst, name)
}

// maxListed bounds the networks that are named in a sentence.
const maxListed = 4

func list(selectors []selector.Selector) string {
	var words []string
	for i, s := range selectors {
		if i == maxListed {
			words = append(words, fmt.Sprintf("and %d more", len(selectors)-i))
			break
		}
		words = append(words, s.String())
	}
	return strings.Join(words, " ")
}
