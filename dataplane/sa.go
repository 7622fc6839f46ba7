package dataplane

import (
	"net/netip"
	"sync/atomic"
	"time"

	"culvert/esp"
	"culvert/selector"
)

// pair is one Child SA pair: what an inbound SPI and a policy's slot point to. Published, it does not change, save the sequence numbers, the replay window and
// what is atomic below. Keys are in the esp SAs alone.
type pair struct {
	in       *esp.Inbound  // nil: no such direction
	out      *esp.Outbound // nil: no such direction
	endpoint atomic.Pointer[esp.Endpoint]
	mtu      atomic.Int32 // the largest inner packet that needs no outer fragments
	spent    atomic.Bool  // sends no more: hard limit, or out of sequence numbers
	quiet    atomic.Bool  // the next send is to be told: there was none for a while
	sa       knownSA      // its first fields are in the cache line of the above

	sendOrder turnstile // its cache lines are its own

	active bool  // it may be sent on. Plane.mu guards it and the next
	path   *path // where its packets go

	lastIn   stamp // from here on, what workers write while packets flow: not in the cache lines of what they read for each
	lastOut  stamp
	drops    drops
	stale    atomic.Bool   // a send was larger than the device's MTU: it is asked for again
	toldIn   atomic.Bool   // EventFirstInbound
	toldSoft atomic.Bool   // EventExpire, soft
	toldHard atomic.Bool   // EventExpire, hard
	toldGone atomic.Uint32 // EventSourceGone: the second in which it was posted last
	moved    atomic.Pointer[moved]
}

// knownSA is what the packet path needs to know of an esp.ChildSA: of very many pairs the rest would be a good part.
type knownSA struct {
	ID                esp.ChildID
	SPIIn             uint32
	PerResource       bool
	noise             bool // some packets that its selectors match are noise
	tellsPorts        bool // its selectors match only some ports
	Resource          int
	Policy            esp.Policy
	Endpoint          esp.Endpoint // as it was installed
	LocalTS, RemoteTS []selector.Selector
}

// stamp is when an SA last carried a packet: UnixNano of a worker's coarse clock; 0 is never.
type stamp struct{ atomic.Int64 }

// stampStep is how old a stamp may be. Workers that alternate on an SA, each with its own clock, would otherwise write it for each packet.
const stampStep = time.Millisecond

// set writes only what is news, so that the workers' caches may share the line.
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

// moved is the last EventPeerMoved of an SA.
type moved struct {
	remote netip.AddrPort
	at     time.Time
}

// movedRepeat is how soon the same new address is told again, where the control plane did not follow.
const movedRepeat = time.Second

// innerMTU is the largest inner packet for a path MTU to where the pair's packets go.
func (c *pair) innerMTU(path int) int {
	ep := c.endpoint.Load()
	return esp.InnerMTU(path, ep.Remote.Addr().Is6(), ep.Encap)
}

// mtuFor is the largest inner packet of an IP version that is sealed as it is, whatever the path. fragment says that the outer IP may have to fragment what it
// becomes. RFC 8200, Section 5: a link that cannot carry 1280 octets must fragment "at a layer below IPv6".
func (c *pair) mtuFor(version uint8) (mtu int, fragment bool) {
	mtu = int(c.mtu.Load())
	if least := minMTU(version); mtu < least {
		return least, true
	}
	return mtu, false
}

// minMTU is what every link must carry of an IP version.
func minMTU(version uint8) int {
	if version == 4 {
		return minIPv4MTU
	}
	return minIPv6MTU
}

// expireSoft says once that a soft limit is reached, in whichever direction comes to it first (RFC 4301, Section 4.4.2.1).
func (p *Plane) expireSoft(c *pair) {
	if !c.toldSoft.Swap(true) {
		p.events.post(esp.Event{Kind: esp.EventExpire, ID: c.sa.ID, Policy: c.sa.Policy})
	}
}

// expireHard ends the sending on a pair and says so.
func (p *Plane) expireHard(c *pair) {
	c.spent.Store(true)
	if !c.toldHard.Swap(true) {
		p.events.post(esp.Event{Kind: esp.EventExpire, ID: c.sa.ID, Policy: c.sa.Policy, Hard: true})
	}
}

// authentic notes a packet that an SA's key has vouched for; newest says that its sequence number is the highest so far, so that a replayed or overtaken packet
// moves nobody (RFC 7296, Section 2.23).
func (p *Plane) authentic(c *pair, remote netip.AddrPort, encap, newest bool, now time.Time) {
	if !c.toldIn.Load() && !c.toldIn.Swap(true) {
		p.events.post(esp.Event{Kind: esp.EventFirstInbound, ID: c.sa.ID, Policy: c.sa.Policy})
	}
	if !newest || !encap {
		return
	}
	ep := c.endpoint.Load()
	if !ep.Encap || ep.Remote == remote {
		return
	}
	if m := c.moved.Load(); m != nil && m.remote == remote && now.Sub(m.at) < movedRepeat {
		return
	}
	c.moved.Store(&moved{remote, now})
	p.events.post(esp.Event{Kind: esp.EventPeerMoved, ID: c.sa.ID, Policy: c.sa.Policy, Remote: remote})
}

// sourceGone says, once a second, that the system has no route from the pair's local address.
func (p *Plane) sourceGone(c *pair, now int64) {
	second, last := uint32(now/int64(time.Second)), c.toldGone.Load()
	if second == last || !c.toldGone.CompareAndSwap(last, second) {
		return
	}
	p.events.post(esp.Event{Kind: esp.EventSourceGone, ID: c.sa.ID, Policy: c.sa.Policy})
}

// LastTraffic is when the pair's SAs last carried an authentic packet, to about a millisecond; zero is never. Any goroutine.
func (p *Plane) LastTraffic(id esp.ChildID) (in, out time.Time, ok bool) {
	c := p.pairByID(id)
	if c == nil {
		return time.Time{}, time.Time{}, false
	}
	return c.lastIn.time(), c.lastOut.time(), true
}

func (p *Plane) pairByID(id esp.ChildID) *pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pairs[id]
}

// nextHeader is the ESP next header of a packet of an IP version.
func nextHeader(version uint8) uint8 {
	if version == 4 {
		return esp.NextIPv4
	}
	return esp.NextIPv6
}
