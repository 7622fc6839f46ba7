package dataplane

import (
	"sync"
	"time"

	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// Bounds of the packets that are kept while a tunnel comes up. The first ones matter: a SYN, an echo request, a DNS query.
const (
	acquirePackets  = 32 // of one policy
	acquireErrors   = 4  // of one policy, as long as no other packets are kept
	acquireBytes    = 48 << 10
	acquireAllBytes = 8 << 20 // of all policies
	acquireFor      = 30 * time.Second
	acquireRepeat   = 60 * time.Second // an Acquire that nobody answers may be asked again
	acquireBackoff  = time.Second      // after a failure; the control plane has its own, longer ones
)

// kept is a packet that waits for an SA: a copy, of the worker that read it and will send it.
type queuedPacket struct {
	pkt    tun.Packet
	flow   selector.Flow
	since  time.Time
	worker *worker
}

// waiting is a slot's share of the keeper.
type acquireState struct {
	packets   []queuedPacket
	bytes     int
	gone      bool // the policy is no more: keep nothing
	acquiring bool // an Acquire is posted and neither answered nor too old
	flow      selector.Flow
	asked     time.Time
	notBefore time.Time // no new Acquire until then
}

// keeper keeps the first packets of policies that have no SA, and asks the control plane for one: one Acquire for each policy until it is answered.
// Its lock is never taken while packets flow through SAs that exist.
type acquireQueue struct {
	mu    sync.Mutex
	bytes int
	busy  map[*slot]struct{} // slots that have packets or an Acquire
	post  func(esp.Event)
}

// verdict is what became of a packet for which there was no SA.
type verdict uint8

const (
	queued   verdict = iota
	refused          // full, or too soon after a failure
	saExists         // one came between the look-up and the lock: try again
)

// keep takes a copy of a packet that no SA of s covers, and posts the Acquire if none is out.
func (k *acquireQueue) add(s *slot, flow *selector.Flow, pkt *tun.Packet, since time.Time, w *worker) verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.pick(flow, 0, noWorker) != nil { // activated before we had the lock: whoever did it will not look for us again
		return saExists
	}
	wait := &s.acquire
	if wait.gone || w.now.Before(wait.notBefore) {
		return refused
	}
	k.ask(s, flow, w.now)
	return k.store(s, flow, pkt, since, w)
}

// keepError takes a copy of an ICMP error, which goes with the packets of flow, for as long as its
// SA is not sent on yet: the answering side of a new SA waits for the first packet that comes by
// it, and that may be what the error is about. It asks for no SA (RFC 4301, Section 6.2), and so
// leaves the most of the room to packets that do.
func (k *acquireQueue) addError(s *slot, flow *selector.Flow, pkt *tun.Packet, since time.Time, w *worker) verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.pick(flow, 0, noWorker) != nil {
		return saExists
	}
	if s.acquire.gone || len(s.acquire.packets) >= acquireErrors {
		return refused
	}
	k.busy[s] = struct{}{}
	return k.store(s, flow, pkt, since, w)
}

// store takes the copy, if there is room. k.mu is held.
func (k *acquireQueue) store(s *slot, flow *selector.Flow, pkt *tun.Packet, since time.Time, w *worker) verdict {
	wait, size := &s.acquire, len(pkt.Data)
	if len(wait.packets) >= acquirePackets || wait.bytes+size > acquireBytes || k.bytes+size > acquireAllBytes {
		return refused
	}
	c := queuedPacket{pkt: *pkt, flow: *flow, since: since, worker: w}
	c.pkt.Data = append([]byte(nil), pkt.Data...)
	wait.packets = append(wait.packets, c)
	wait.bytes += size
	k.bytes += size
	return queued
}

// acquire posts an Acquire unless one is out.
func (k *acquireQueue) ask(s *slot, flow *selector.Flow, now time.Time) {
	wait := &s.acquire
	if wait.acquiring {
		return
	}
	wait.acquiring, wait.flow, wait.asked = true, *flow, now
	k.busy[s] = struct{}{}
	k.post(esp.Event{Kind: esp.EventAcquire, Policy: s.policy, Flow: *flow})
}

// answered hands the kept packets of s to their workers if an SA that carries what was asked for is active by now. Those that it does not cover come
// back and are asked for in their turn. An SA of the policy that is something else (a rekey of another flow's) is no answer.
func (k *acquireQueue) answered(s *slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.acquire.acquiring && s.pick(&s.acquire.flow, 0, noWorker) == nil {
		return
	}
	s.acquire.acquiring = false
	s.acquire.notBefore = time.Time{}
	for _, c := range k.take(s) {
		c.worker.mail.put(c)
	}
}

// failed drops the kept packets of s: what they wait for will not come.
func (k *acquireQueue) failed(s *slot, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.acquire.acquiring = false
	s.acquire.notBefore = now.Add(acquireBackoff)
	dropQueued(k.take(s))
}

// forget drops what s has and takes no more, its policy being gone.
func (k *acquireQueue) forget(s *slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.acquire.gone, s.acquire.acquiring = true, false
	dropQueued(k.take(s))
}

// admit makes s one that packets are kept for, again.
func (k *acquireQueue) admit(s *slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.acquire.gone = false
}

// take empties s.
func (k *acquireQueue) take(s *slot) []queuedPacket {
	packets := s.acquire.packets
	k.bytes -= s.acquire.bytes
	s.acquire.packets, s.acquire.bytes = nil, 0
	if !s.acquire.acquiring {
		delete(k.busy, s)
	}
	return packets
}

// tick drops what has been kept too long and gives up Acquires that nobody answered. The control goroutine calls it about once a second.
func (k *acquireQueue) tick(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for s := range k.busy {
		wait := &s.acquire
		if wait.acquiring && now.Sub(wait.asked) >= acquireRepeat {
			wait.acquiring = false
		}
		k.expire(s, now)
		if len(wait.packets) == 0 && !wait.acquiring {
			delete(k.busy, s)
		}
	}
}

// expire drops those packets of s that were kept too long.
func (k *acquireQueue) expire(s *slot, now time.Time) {
	young := s.acquire.packets[:0:0]
	for _, c := range s.acquire.packets {
		if now.Sub(c.since) < acquireFor {
			young = append(young, c)
			continue
		}
		s.acquire.bytes -= len(c.pkt.Data)
		k.bytes -= len(c.pkt.Data)
		c.worker.plane.tally.add(dropNoSA, 1)
	}
	s.acquire.packets = young
}

// dropKept counts packets that were kept in vain.
func dropQueued(packets []queuedPacket) {
	for _, c := range packets {
		c.worker.plane.tally.add(dropNoSA, 1)
	}
}
