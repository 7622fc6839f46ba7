package dataplane

import (
	"sync"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// Bounds of the fragment table, for each direction.
const (
	fragmentsKnown  = 4096             // datagrams whose first fragment passed; one more removes the oldest
	fragmentsFor    = 10 * time.Second // how long after that its later fragments may come
	fragmentsHeld   = 512              // later fragments that came before their first
	fragmentBytes   = 1 << 20          // octets of all of these
	fragmentsOfOne  = 64               // number of these of one datagram
	fragmentHoldFor = time.Second
)

// A fragmentTable matches fragments without ports (RFC 4301, Section 7.3) by the flow of the first
// fragment of their datagram, which has the ports. Later fragments that come before the first are
// held until it comes. All workers share the table, since the fragments of one datagram may reach
// several of them. Its lock is taken for fragments alone, and only if selectors tell ports apart.
type fragmentTable struct {
	mu    sync.Mutex
	known map[fragmentKey]knownDatagram
	ring  []ringPlace // present and past entries of known, by age: ring[next:], then ring[:next]
	next  int
	count uint64 // number of datagrams noted

	waiting map[fragmentKey][]heldFragment
	packets int // held packets
	octets  int
}

// A fragmentKey identifies a datagram: outbound, or inbound by the SAs of a policy.
type fragmentKey struct {
	policy ipsec.PolicyID
	selector.DatagramID
}

// A knownDatagram is a datagram whose first fragment passed.
type knownDatagram struct {
	flow  selector.Flow
	end   int // end of the first fragment's data: no later fragment may begin before it
	at    int64
	count uint64 // equal to that of its place in the ring
}

type ringPlace struct {
	key   fragmentKey
	count uint64
}

// A heldFragment is a copy of a later fragment that came before its first, and what its delivery
// needs.
type heldFragment struct {
	pkt   gso.Packet
	since time.Time
	until int64 // UnixNano

	id   ipsec.ChildID // inbound: the SA that it came by,
	next uint8         // the ESP next header,
	tos  uint8         // and the outer TOS
}

// A whereabouts is the table's answer for a later fragment.
type whereabouts uint8

const (
	fragmentKnown    whereabouts = iota // its first fragment has passed
	fragmentHeld                        // its first fragment has not come yet
	fragmentUnknown                     // the same, but it was not to be held or there is no room
	fragmentOverlaps                    // it would overwrite a part of its first fragment
)

// first notes that the first fragment of a datagram passed, with data up to end, and returns the
// later ones that waited for it. A second first fragment can only extend the data that later ones
// must not overwrite; if its flow differs, the identification has been reused.
func (t *fragmentTable) first(key fragmentKey, flow *selector.Flow, end int, now int64) []heldFragment {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(key, flow, end, now)
	list := t.waiting[key]
	t.forget(key)
	return list
}

func (t *fragmentTable) note(key fragmentKey, flow *selector.Flow, end int, now int64) {
	if t.known == nil {
		t.known = make(map[fragmentKey]knownDatagram)
		t.ring = make([]ringPlace, fragmentsKnown)
	}
	if old, ok := t.lookUp(key, now); ok {
		end = max(end, old.end)
	}
	place := &t.ring[t.next]
	if old, ok := t.known[place.key]; ok && old.count == place.count {
		delete(t.known, place.key)
	}
	t.count++
	t.next = (t.next + 1) % len(t.ring)
	*place = ringPlace{key, t.count}
	t.known[key] = knownDatagram{*flow, end, now, t.count}
}

func (t *fragmentTable) lookUp(key fragmentKey, now int64) (knownDatagram, bool) {
	d, ok := t.known[key]
	return d, ok && now-d.at < int64(fragmentsFor)
}

// later returns the flow of a later fragment, whose data begin at begin, or holds it: h is then
// copied with the octets of its packet, if there is room. With a nil h it is not held.
func (t *fragmentTable) later(key fragmentKey, begin int, now int64, h *heldFragment) (selector.Flow, whereabouts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.lookUp(key, now); ok {
		if begin < d.end {
			return selector.Flow{}, fragmentOverlaps
		}
		return d.flow, fragmentKnown
	}
	if h == nil || t.packets == fragmentsHeld || t.octets+len(h.pkt.Data) > fragmentBytes || len(t.waiting[key]) == fragmentsOfOne {
		return selector.Flow{}, fragmentUnknown
	}
	if t.waiting == nil {
		t.waiting = make(map[fragmentKey][]heldFragment)
	}
	c := *h
	c.pkt.Data = append([]byte(nil), h.pkt.Data...)
	c.until = now + int64(fragmentHoldFor)
	t.waiting[key] = append(t.waiting[key], c)
	t.packets++
	t.octets += len(c.pkt.Data)
	return selector.Flow{}, fragmentHeld
}

// forget removes the held fragments of a datagram.
func (t *fragmentTable) forget(key fragmentKey) {
	for i := range t.waiting[key] {
		t.octets -= len(t.waiting[key][i].pkt.Data)
	}
	t.packets -= len(t.waiting[key])
	delete(t.waiting, key)
}

// tick removes entries that are too old, and returns the fragments that were held for too long. The
// control goroutine calls it about once a second.
func (t *fragmentTable) tick(now int64) (lost []heldFragment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, d := range t.known {
		if now-d.at >= int64(fragmentsFor) {
			delete(t.known, key)
		}
	}
	for key, list := range t.waiting {
		young := list[:0:0]
		for _, h := range list {
			if left := h.until - now; left > 0 && left <= 2*int64(fragmentHoldFor) { // the upper bound: the clock may have been set back
				young = append(young, h)
				continue
			}
			t.packets--
			t.octets -= len(h.pkt.Data)
			lost = append(lost, h)
		}
		if t.waiting[key] = young; len(young) == 0 {
			delete(t.waiting, key)
		}
	}
	return lost
}
