// Package pacing decides when attempts to connect may begin, so that thousands of peers that are to
// come up at once neither wait for our own processors until they fail nor fill the responder's
// half-open IKE SAs (RFC 7296, Section 2.6).
//
// To each host there is a window of attempts that have begun and are not established, as TCP has
// one of segments (RFC 5681): it begins at four, which any responder takes, doubles within a round
// trip while all is well, is halved when one was not answered in time, and then grows by one in a
// round trip. It does not grow by an attempt for which a cookie was demanded, nor while one has
// been overtaken by several. All hosts together have a window of fixed size, for the sake of our
// own work. An attempt that is not answered in time gives its place back and goes on: a host that
// is down holds nobody back.
//
// What somebody waits for, as traffic or a command, comes before what is to be up in any case, and
// has some places more.
//
// The package starts nothing and reads no clock: the owner of an attempt says what becomes of it.
package pacing

import (
	"container/list"
	"net/netip"
)

// Bounds of the windows, in attempts.
const (
	least   = 4   // to one host, and the number to begin with
	most    = 48  // to one host: fewer than the 64 from which on a culvert demands cookies
	inAll   = 256 // to all hosts
	moreOne = 4   // further places for what is awaited, to a host
	moreAll = 64  // and to all hosts together

	disorder = 8 // attempts that may be established before one that began earlier
)

// An Urgency is who waits for a peer.
type Urgency uint8

// Values of Urgency, the most urgent first.
const (
	Awaited    Urgency = iota // a packet or a command waits
	Unattended                // it is to be up, by the configuration or because it was
	urgencies
)

// A Pacer holds all attempts of one initiator. It is not safe for concurrent use.
type Pacer struct {
	under int // attempts that have places
	hosts map[netip.Addr]*host
	ready [urgencies][]*host // those with room for one of theirs that waits
}

// A host is the window of one address. It is forgotten with its last attempt.
type host struct {
	addr    netip.Addr
	under   int
	begun   uint64
	order   []*Place // from the oldest that has its place on
	window  int
	slow    int    // slow start ends at this window
	gained  int    // attempts that were established since the window grew, after that
	reduced uint64 // up to this number attempts tell of trouble that is known
	waiting [urgencies]list.List
	ready   [urgencies]bool
}

// A Turn is the place of a peer among those that wait to begin an attempt. Called is told that it
// may begin: it must call Begin, or Leave if there is no need any more. The zero Turn with Called
// is ready for use.
type Turn struct {
	Called  func()
	host    *host
	element *list.Element // while it waits
	urgency Urgency
	granted bool
}

// A Place is an attempt that has begun.
type Place struct {
	pacer   *Pacer
	host    *host // nil once the place is given back
	number  uint64
	cookies bool
}

// New returns a Pacer without attempts.
func New() *Pacer { return &Pacer{hosts: map[netip.Addr]*host{}} }

// Idle reports whether no attempt has a place and none waits.
func (p *Pacer) Idle() bool { return p.under == 0 && len(p.hosts) == 0 }

// Ask asks for a place for an attempt to an address, and reports whether it may begin now. If not,
// the turn waits behind those of the same urgency, and keeps its place when it asks for the same
// again.
func (p *Pacer) Ask(t *Turn, addr netip.Addr, u Urgency) bool {
	if t.host != nil && (t.host.addr != addr || !t.granted && t.urgency != u) {
		p.Leave(t)
	}
	if t.host == nil {
		t.host, t.urgency = p.hostAt(addr), u
		t.element = t.host.waiting[u].PushBack(t)
		p.list(t.host)
		p.callAll(t)
	}
	return t.granted
}

// Waiting reports whether the turn has not come.
func (t *Turn) Waiting() bool { return t.element != nil }

// Leave ends the wait for a place, or gives back one that was not used. It does nothing to a turn
// that does not wait.
func (p *Pacer) Leave(t *Turn) {
	h := t.host
	if h == nil {
		return
	}
	if t.granted {
		h.under--
		p.under--
	} else {
		h.waiting[t.urgency].Remove(t.element)
	}
	t.host, t.element, t.granted = nil, nil, false
	p.freed(h)
}

// Begin begins an attempt to an address, in the place that the turn was granted there. Without one,
// as for an attempt that cannot wait, it takes a place beyond the window.
func (p *Pacer) Begin(t *Turn, addr netip.Addr) *Place {
	if h := t.host; h == nil || !t.granted || h.addr != addr {
		h := p.hostAt(addr)
		h.under++
		p.under++
		return p.place(h)
	}
	h := t.host
	t.host, t.granted = nil, false
	return p.place(h)
}

// BeginAgain returns a place for an attempt that gave one back, was not answered since, and is to
// ask once more, or nil if the window has none.
func (p *Pacer) BeginAgain(addr netip.Addr) *Place {
	if h := p.hosts[addr]; p.under >= inAll || h != nil && h.under >= h.window {
		return nil
	}
	h := p.hostAt(addr)
	h.under++
	p.under++
	return p.place(h)
}

func (p *Pacer) place(h *host) *Place {
	h.begun++
	a := &Place{pacer: p, host: h, number: h.begun}
	h.order = append(h.order, a)
	return a
}

// Held reports whether the attempt has its place still.
func (a *Place) Held() bool { return a.host != nil }

// CookieWanted notes that the responder demanded a cookie: it has as much as it takes.
func (a *Place) CookieWanted() { a.cookies = true }

// Unanswered gives the place back because a request was not answered in time: it was dropped, as by
// a host that has too much, or the host is down.
func (a *Place) Unanswered() {
	if h := a.host; h != nil && a.number > h.reduced {
		h.window = max(h.window/2, least)
		h.slow, h.gained, h.reduced = h.window, 0, h.begun
	}
	a.release()
}

// End gives the place back because the attempt has ended, as established or not. A second call does
// nothing.
func (a *Place) End(established bool) {
	if h := a.host; h != nil && established && !a.cookies && !h.overtaken(a.number) {
		h.grow()
	}
	a.release()
}

// overtaken reports whether the attempt of a number has overtaken another one that began long
// before: that one was dropped, as it seems, and its time is not over.
func (h *host) overtaken(by uint64) bool {
	return len(h.order) > 0 && h.order[0].number+disorder < by
}

func (h *host) grow() {
	h.gained++
	if h.window < most && (h.window < h.slow || h.gained >= h.window) {
		h.window, h.gained = h.window+1, 0
	}
}

func (a *Place) release() {
	h := a.host
	if h == nil {
		return
	}
	a.host = nil
	for len(h.order) > 0 && h.order[0].host == nil {
		h.order = h.order[1:]
	}
	h.under--
	a.pacer.under--
	a.pacer.freed(h)
}

func (p *Pacer) hostAt(addr netip.Addr) *host {
	h := p.hosts[addr]
	if h == nil {
		h = &host{addr: addr, window: least, slow: most}
		p.hosts[addr] = h
	}
	return h
}

// room reports whether the host has a place for one that waits.
func (h *host) room(u Urgency) bool {
	more := 0
	if u == Awaited {
		more = moreOne
	}
	return h.waiting[u].Len() > 0 && h.under < h.window+more
}

// room reports whether there is a place among all hosts.
func (p *Pacer) room(u Urgency) bool {
	if u == Awaited {
		return p.under < inAll+moreAll
	}
	return p.under < inAll
}

// list adds a host that has room to those that are ready.
func (p *Pacer) list(h *host) {
	for u := range urgencies {
		if !h.ready[u] && h.room(u) {
			h.ready[u] = true
			p.ready[u] = append(p.ready[u], h)
		}
	}
}

// freed follows a place that was given back, or a turn that was left.
func (p *Pacer) freed(h *host) {
	p.list(h)
	p.callAll(nil)
	if h.under == 0 && h.waiting[Awaited].Len() == 0 && h.waiting[Unattended].Len() == 0 {
		delete(p.hosts, h.addr)
	}
}

// callAll grants the places that there are, to one of each host in turn. The turn that asks is not
// called.
func (p *Pacer) callAll(asking *Turn) {
	for u := range urgencies {
		for len(p.ready[u]) > 0 && p.room(u) {
			h := p.ready[u][0]
			p.ready[u] = p.ready[u][1:]
			h.ready[u] = false
			if !h.room(u) {
				continue
			}
			t := h.waiting[u].Remove(h.waiting[u].Front()).(*Turn)
			t.element, t.granted = nil, true
			h.under++
			p.under++
			p.list(h)
			if t != asking {
				t.Called()
			}
		}
	}
}
