package dataplane

import (
	"sync/atomic"
	"time"

	"culvert/dataplane/turnstile"
	"culvert/esp"
	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// A pair is one Child SA pair; an inbound SPI and a policy's slot point to it. Once published it is
// immutable, except for the sequence numbers, the replay window and the atomic fields below. Only
// the esp SAs hold keys.
type pair struct {
	in    *esp.Inbound               // nil: no inbound SA
	out   *esp.Outbound              // nil: no outbound SA
	outer atomic.Pointer[ipsec.Path] // of its packets
	mtu   atomic.Int32               // the largest inner packet that needs no outer fragments
	spent atomic.Bool                // nothing more may be sent: hard limit, or sequence numbers exhausted
	held  atomic.Bool                // an operator took the policy down: nothing is let in
	quiet atomic.Bool                // nothing was sent for a while: the next send is to be reported
	sa    knownSA                    // its first fields share a cache line with those above

	sendOrder turnstile.Turnstile // has cache lines of its own

	active   bool   // may be used for sending. Plane.mu guards it, path and inAtLook
	path     *path  // the state of the outer path
	inAtLook uint64 // packets received up to the last look for a silence

	lastIn     stamp // from here on: written per packet, apart from the cache lines read per packet
	lastOut    stamp
	drops      drops
	stale      atomic.Bool   // a send was larger than the device's MTU, which is being asked for again
	before     *esp.State    // with which the pair began; nil: new
	toldIn     atomic.Bool   // EventFirstInbound
	toldSoft   atomic.Bool   // EventExpire, soft
	toldHard   atomic.Bool   // EventExpire, hard
	toldUnsent atomic.Uint32 // EventUnsent: the second of the last post
	moved      atomic.Pointer[moved]
}

// A knownSA is the part of an ipsec.ChildSA that the packet path needs. With very many pairs, the
// rest would be a large share of the memory.
type knownSA struct {
	ID                ipsec.ChildID
	SPIIn             uint32
	PerResource       bool
	noise             bool // its selectors match some noise
	tellsPorts        bool // its selectors match only some ports
	OtherPorts        bool
	Resource          int
	Policy            ipsec.PolicyID
	Path              ipsec.Path // as installed
	LocalTS, RemoteTS []selector.Selector
	hosts             *hosts // of transport mode; nil: tunnel mode
}

// A stamp is the time at which an SA last carried a packet: UnixNano of a worker's coarse clock; 0
// is never.
type stamp struct{ atomic.Int64 }

// stampStep is how old a stamp may be. Without it, workers that alternate on an SA, each with its
// own clock, would write it for each packet.
const stampStep = time.Millisecond

// set writes only a changed value, so that the workers' caches may share the cache line.
func (s *stamp) set(now int64) {
	if d := now - s.Load(); max(d, -d) >= int64(stampStep) {
		s.Store(now)
	}
}

func (s *stamp) time() time.Time { return stampTime(s.Load()) }

func stampTime(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// A moved is the last EventPeerMoved of an SA.
type moved struct {
	from ipsec.Path
	at   time.Time
}

// movedRepeat is the pause before the same new path is reported again, if the control plane did
// not follow.
const movedRepeat = time.Second

// pick returns the SA for a worker's flow that matched the policy's entry of the given Order (0:
// unknown): the newest that may carry it of the worker's own, else of the shared ones, else of any;
// or nil. An SA that may send no more (hard limit, sequence numbers) carries nothing. Only workers
// call it.
func (s *slot) pick(f *selector.Flow, order uint64, worker int) *pair {
	set := s.sas.Load()
	if set.workers == nil {
		return choose(set.shared, f, order)
	}
	own := set.workers.own
	if worker >= 0 {
		if p := choose(own[worker], f, order); p != nil {
			return p
		}
	}
	if p := choose(set.shared, f, order); p != nil {
		return p
	}
	for _, list := range own {
		if p := choose(list, f, order); p != nil {
			return p
		}
	}
	return nil
}

// choose returns the first of the list that may carry the flow, or nil.
func choose(list []outboundSA, f *selector.Flow, order uint64) *pair {
	for i := range list {
		sa := &list[i]
		if (order == 0 || sa.covers != order) && !selector.MatchOutbound(f, sa.pair.sa.LocalTS, sa.pair.sa.RemoteTS) {
			continue
		}
		if !sa.pair.spent.Load() {
			return sa.pair
		}
	}
	return nil
}

// innerMTU returns the largest inner packet for an MTU of the pair's path.
func (c *pair) innerMTU(mtu int) int {
	p := c.outer.Load()
	if c.sa.hosts != nil {
		return c.format().TransportMTU(mtu, p.Is6(), p.Encapsulated())
	}
	return c.format().InnerMTU(mtu, p.Is6(), p.Encapsulated())
}

// outerLen returns the length of the outer packet for an inner packet of n octets.
func (c *pair) outerLen(n int) int {
	p := c.outer.Load()
	if c.sa.hosts != nil {
		return c.format().TransportLen(n, p.Is6(), p.Encapsulated())
	}
	return c.format().OuterLen(n, p.Is6(), p.Encapsulated())
}

// format returns the lengths of the pair's packets, which are the same in both directions.
func (c *pair) format() esp.Format {
	if c.out != nil {
		return c.out.Format
	}
	return c.in.Format
}

// mtuFor returns the largest inner packet of an IP version that is sealed unfragmented, whatever
// the path. fragment reports whether the outer IP may have to fragment the result. RFC 8200,
// Section 5: a link that cannot carry 1280 octets must fragment "at a layer below IPv6".
func (c *pair) mtuFor(version uint8) (mtu int, fragment bool) {
	mtu = int(c.mtu.Load())
	if least := minMTU(version); mtu < least {
		return least, true
	}
	return mtu, false
}

// clampMSS lowers the MSS option of a SYN to the size that fits into one inner packet of mtu
// octets, so that TCP does not have to find the MTU by loss. The option counts neither the fixed
// headers of IP and TCP nor their options (RFC 6691, Section 2). fixChecksum: see
// ipheader.ClampMSS.
func clampMSS(pkt []byte, hdr *selector.Packet, mtu int, fixChecksum bool) {
	if hdr.Protocol != selector.ProtoTCP || hdr.Fragment != selector.NotFragment {
		return
	}
	headers := ipheader.IPv4Len + ipheader.TCPLen
	if hdr.Version == 6 {
		headers = ipheader.IPv6Len + ipheader.TCPLen
	}
	ipheader.ClampMSS(pkt[hdr.Upper:hdr.TotalLen], mtu-headers, fixChecksum)
}

// Least MTUs.
const (
	// minIPv6MTU: RFC 8200, Section 5. Hosts ignore a smaller one in a Packet Too Big, so none is
	// sent.
	minIPv6MTU = 1280
	// minIPv4MTU: RFC 791, Section 3.2: 68 octets pass "without further fragmentation".
	minIPv4MTU = 68
)

// minMTU returns the MTU that every link must have for an IP version.
func minMTU(version uint8) int {
	if version == 4 {
		return minIPv4MTU
	}
	return minIPv6MTU
}

// expireSoft reports a soft limit once, from whichever direction reaches it first (RFC 4301,
// Section 4.4.2.1).
func (p *Plane) expireSoft(c *pair) {
	if !c.toldSoft.Swap(true) {
		p.events.post(ipsec.Event{Kind: ipsec.EventExpire, ID: c.sa.ID, Policy: c.sa.Policy})
	}
}

// expireHard stops sending on a pair and reports the hard limit once.
func (p *Plane) expireHard(c *pair) {
	c.spent.Store(true)
	if !c.toldHard.Swap(true) {
		p.events.post(ipsec.Event{Kind: ipsec.EventExpire, ID: c.sa.ID, Policy: c.sa.Policy, Hard: true})
	}
}

// authentic notes a packet that an SA's key has authenticated. newest means that its sequence
// number is the highest so far: a replayed or overtaken packet must not move the peer (RFC 7296,
// Section 2.23).
func (p *Plane) authentic(c *pair, from *ipsec.Path, newest bool, now time.Time) {
	if !c.toldIn.Load() && !c.toldIn.Swap(true) {
		p.events.post(ipsec.Event{Kind: ipsec.EventFirstInbound, ID: c.sa.ID, Policy: c.sa.Policy})
	}
	if !newest || !from.Encapsulated() || c.sa.OtherPorts {
		return
	}
	to := c.outer.Load()
	if !to.Encapsulated() || to.SameRemote(*from) {
		return
	}
	if m := c.moved.Load(); m != nil && m.from == *from && now.Sub(m.at) < movedRepeat {
		return
	}
	c.moved.Store(&moved{*from, now})
	p.events.post(ipsec.Event{Kind: ipsec.EventPeerMoved, ID: c.sa.ID, Policy: c.sa.Policy, Path: *from})
}

// unsent reports, at most once a second, that this host refuses to send the pair's packets.
func (p *Plane) unsent(c *pair, why ipsec.Obstacle, now int64) {
	second, last := uint32(now/int64(time.Second)), c.toldUnsent.Load()
	if second == last || !c.toldUnsent.CompareAndSwap(last, second) {
		return
	}
	if why == ipsec.ObstacleFirewall && c.sa.OtherPorts { // it may be the source port that is refused
		p.refused.add(c)
		p.nudge()
		return
	}
	p.events.post(ipsec.Event{Kind: ipsec.EventUnsent, ID: c.sa.ID, Policy: c.sa.Policy, Why: why})
}

// nextHeader returns the ESP next header of a packet of an IP version.
func nextHeader(version uint8) uint8 {
	if version == 4 {
		return esp.NextIPv4
	}
	return esp.NextIPv6
}
