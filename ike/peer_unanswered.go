package ike

import (
	"container/list"
	"net/netip"
	"slices"
)

// Several peers may have one address, as those of one gateway do. The first of them that is
// connected there after an outage shows that the others would be answered as well, and they need
// not wait for the end of their pauses. Its peer is authenticated, so nobody else can hasten them,
// and nothing is sent earlier than the Pacer lets it. A party whose attempt was refused waits as
// long as before.

// maxHastened bounds the parties of one address that an IKE SA which is established hastens. Each
// of them that comes up hastens as many.
const maxHastened = 64

// An unansweredTable holds, by address, the parties that repeated a request of IKE_SA_INIT or
// IKE_AUTH there, until one is connected or refused.
type unansweredTable map[netip.Addr]*list.List

// add lists a party at an address, once.
func (t unansweredTable) add(p *party, addr netip.Addr) {
	if p.unanswered[addr] != nil {
		return
	}
	if p.unanswered == nil {
		p.unanswered = map[netip.Addr]*list.Element{}
	}
	if t[addr] == nil {
		t[addr] = list.New()
	}
	p.unanswered[addr] = t[addr].PushBack(p)
}

// remove ends the listing of a party at an address.
func (t unansweredTable) remove(p *party, addr netip.Addr) {
	at := p.unanswered[addr]
	if at == nil {
		return
	}
	delete(p.unanswered, addr)
	if t[addr].Remove(at); t[addr].Len() == 0 {
		delete(t, addr)
	}
}

// forget ends all listings of a party.
func (t unansweredTable) forget(p *party) {
	for addr := range p.unanswered {
		t.remove(p, addr)
	}
}

// answeredAt hastens parties that were not answered at an address, where a peer was authenticated
// now.
func (e *Engine) answeredAt(addr netip.Addr) {
	waiting := e.unanswered[addr]
	if waiting == nil {
		return
	}
	for range min(waiting.Len(), maxHastened) {
		first := waiting.Front()
		waiting.MoveToBack(first)
		if p := first.Value.(*party); p.hastenTo(addr) {
			e.unanswered.remove(p, addr)
		}
	}
}

// hastenTo has the party ask at an address that answers. It reports whether there is nothing more
// to hasten there: an attempt under way is listed until its end, and one at another address is not
// given up.
func (p *party) hastenTo(addr netip.Addr) (done bool) {
	if i := slices.IndexFunc(p.sas, (*ikeSA).connecting); i >= 0 {
		if s := p.sas[i]; s.net.Remote().Addr() == addr {
			s.attemptAgain(addr)
		}
		return false
	}
	i := slices.Index(p.cfg.Remote, addr)
	if i < 0 || !p.try.At.After(p.e.handling.now) {
		return true
	}
	if !p.mayHasten() {
		return false
	}
	p.try.addr, p.try.At = i, p.e.handling.now
	p.e.touch(p)
	return true
}
