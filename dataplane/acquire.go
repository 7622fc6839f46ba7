package dataplane

import (
	"sync"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// Bounds of the packets that wait while a tunnel comes up. The first ones matter: a SYN, an echo
// request, a DNS query.
const (
	acquirePackets  = 32 // of one policy
	acquireErrors   = 4  // of one policy, as long as no other packets wait
	acquireBytes    = 48 << 10
	acquireAllBytes = 8 << 20 // of all policies
	acquireFor      = 30 * time.Second
	acquireRepeat   = 60 * time.Second // an Acquire that nobody answers may be posted again
	acquireBackoff  = time.Second      // after a failure; the control plane has its own, longer ones
)

// queuedPacket is a copy of a packet that waits for an SA. It came to the queue of its thread, by
// which it will be sent.
type queuedPacket struct {
	pkt    gso.Packet
	flow   selector.Flow
	since  time.Time
	thread *thread
}

// acquireState is a slot's share of the acquire queue.
type acquireState struct {
	packets   []queuedPacket
	bytes     int
	admission admission
	acquiring bool // an Acquire is posted and neither answered nor too old
	flow      selector.Flow
	asked     time.Time
	notBefore time.Time // no new Acquire until then
}

// admission is what becomes of the packets of a policy that has no SA.
type admission uint8

const (
	admitted  admission = iota // they wait for one
	heldBack                   // they are dropped: an operator holds the policy down
	abandoned                  // they are dropped: the policy was removed
)

// acquireQueue keeps the first packets of policies that have no SA, and asks the control plane for
// one: one Acquire for each policy until it is answered. Its lock is never taken while packets flow
// through SAs that exist.
type acquireQueue struct {
	mu    sync.Mutex
	bytes int
	busy  map[*slot]struct{} // slots that have packets or an Acquire
	post  func(ipsec.Event)
}

// verdict is what became of a packet for which there was no SA.
type verdict uint8

const (
	queued   verdict = iota
	full             // there is no room in the queue
	tooSoon          // after a failure, or the policy is gone
	heldDown         // an operator holds the policy down
	saExists         // one came between the look-up and the lock: try again
	yielded          // the policy stands by since the look-up, and is not matched any more: look up again
)

// add queues a copy of a packet of th's queue that no SA of s covers, and posts the Acquire if none
// is posted.
func (q *acquireQueue) add(s *slot, flow *selector.Flow, x *txPacket, th *thread, now time.Time) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.pick(flow, 0, noWorker) != nil { // activated before the lock was taken: answered will not be called again
		return saExists
	}
	if s.standby {
		if n, _ := th.plane.policyFor(flow); n.slot != s {
			return yielded
		}
	}
	if s.acquire.admission == heldBack {
		return heldDown
	}
	if s.acquire.admission == abandoned || now.Before(s.acquire.notBefore) {
		return tooSoon
	}
	q.ask(s, flow, now)
	return q.store(s, flow, x, th)
}

// addError queues a copy of an ICMP error, which goes with the packets of flow, for as long as its
// SA is not sent on yet: the responder of a new SA waits for the first packet that comes by it, and
// that may be the packet that the error is about. It asks for no SA (RFC 4301, Section 6.2), and so
// leaves most of the space to packets that do.
func (q *acquireQueue) addError(s *slot, flow *selector.Flow, x *txPacket, th *thread) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.pick(flow, 0, noWorker) != nil {
		return saExists
	}
	if s.acquire.admission == heldBack {
		return heldDown
	}
	if s.acquire.admission == abandoned || len(s.acquire.packets) >= acquireErrors {
		return full
	}
	q.busy[s] = struct{}{}
	return q.store(s, flow, x, th)
}

// store takes the copy, if there is space. q.mu is held.
func (q *acquireQueue) store(s *slot, flow *selector.Flow, x *txPacket, th *thread) verdict {
	a, size := &s.acquire, len(x.pkt.Data)
	if len(a.packets) >= acquirePackets || a.bytes+size > acquireBytes || q.bytes+size > acquireAllBytes {
		return full
	}
	c := queuedPacket{pkt: *x.pkt, flow: *flow, since: x.since, thread: th}
	c.pkt.Data = append([]byte(nil), x.pkt.Data...)
	a.packets = append(a.packets, c)
	a.bytes += size
	q.bytes += size
	return queued
}

// ask posts an Acquire unless one is posted. q.mu is held.
func (q *acquireQueue) ask(s *slot, flow *selector.Flow, now time.Time) {
	a := &s.acquire
	if a.acquiring {
		return
	}
	a.acquiring, a.flow, a.asked = true, *flow, now
	q.busy[s] = struct{}{}
	q.post(ipsec.Event{Kind: ipsec.EventAcquire, Policy: s.policy, Flow: *flow})
}

// answered hands the packets of s to their workers if an SA that carries what was asked for is
// active by now. Those that it does not cover come back and are asked for next. Another SA of the
// policy (a rekey of another flow's) is not an answer.
func (q *acquireQueue) answered(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.acquire.acquiring && s.pick(&s.acquire.flow, 0, noWorker) == nil {
		return
	}
	s.acquire.acquiring = false
	s.acquire.notBefore = time.Time{}
	for _, c := range q.take(s) {
		c.thread.mail.put(c)
	}
}

// failed drops the packets of s: the SA that they wait for will not come. If s has other SAs, the
// packets go back to their workers, which refuse them as outside of these (refuse).
func (q *acquireQueue) failed(s *slot, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.acquire.acquiring = false
	s.acquire.notBefore = now.Add(acquireBackoff)
	list := q.take(s)
	if s.sas.Load().first() == nil {
		dropQueued(list)
		return
	}
	for _, c := range list {
		c.thread.mail.put(c)
	}
}

// holds reports whether s is held down.
func (q *acquireQueue) holds(s *slot) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.acquire.admission == heldBack
}

// hold drops the packets of s, and takes no more while it is held down.
func (q *acquireQueue) hold(s *slot, held bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.acquire.acquiring, s.acquire.notBefore = false, time.Time{}
	switch {
	case s.acquire.admission == abandoned:
	case held:
		s.acquire.admission = heldBack
	default:
		s.acquire.admission = admitted
	}
	dropQueued(q.take(s))
}

// standBy has s yield, or not. The packets of one that yields go back to their workers, which look
// their policy up again. Plane.mu is held.
func (q *acquireQueue) standBy(s *slot, standby bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.standby, s.acquire.notBefore = standby, time.Time{}
	if !standby {
		return
	}
	s.acquire.acquiring = false
	for _, c := range q.take(s) {
		c.thread.mail.put(c)
	}
}

// forget drops the packets of s and takes no more: its policy was removed.
func (q *acquireQueue) forget(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.acquire.admission, s.acquire.acquiring = abandoned, false
	dropQueued(q.take(s))
}

// admit lets packets of s be queued again, if its policy had been removed.
func (q *acquireQueue) admit(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.acquire.admission == abandoned {
		s.acquire.admission = admitted
	}
}

// take empties s.
func (q *acquireQueue) take(s *slot) []queuedPacket {
	packets := s.acquire.packets
	q.bytes -= s.acquire.bytes
	s.acquire.packets, s.acquire.bytes = nil, 0
	if !s.acquire.acquiring {
		delete(q.busy, s)
	}
	return packets
}

// tick drops packets that have waited too long and gives up Acquires that nobody answered. The
// control goroutine calls it about once a second.
func (q *acquireQueue) tick(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s := range q.busy {
		a := &s.acquire
		if a.acquiring && now.Sub(a.asked) >= acquireRepeat {
			a.acquiring = false
		}
		q.expire(s, now)
		if len(a.packets) == 0 && !a.acquiring {
			delete(q.busy, s)
		}
	}
}

// expire drops those packets of s that have waited too long.
func (q *acquireQueue) expire(s *slot, now time.Time) {
	young := s.acquire.packets[:0:0]
	for _, c := range s.acquire.packets {
		if now.Sub(c.since) < acquireFor {
			young = append(young, c)
			continue
		}
		s.acquire.bytes -= len(c.pkt.Data)
		q.bytes -= len(c.pkt.Data)
		c.thread.plane.tally.add(dropNoSA, 1)
	}
	s.acquire.packets = young
}

// dropQueued counts packets whose SA did not come.
func dropQueued(packets []queuedPacket) {
	for _, c := range packets {
		c.thread.plane.tally.add(dropNoSA, 1)
	}
}
