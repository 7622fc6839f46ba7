package dataplane

import (
	"time"

	"culvert/internal/ipsec"
)

// A silence is what is known of the answers to a policy's packets. Most traffic is answered by the
// other side's hosts, so packets that suddenly are not are a sign that the peer is gone, or its SA,
// long before a liveness check is due. What comes on the SAs of another policy is not an answer:
// the peer may have lost one of several. Neither are dummy packets, but for answers to probes: the
// peer's own probes come also while it receives nothing from here, and for that reason.
type silence struct {
	probed     bool  // a probe was answered since the last look
	answered   uint8 // looks since the last report at which packets had come, up to usualLooks
	unanswered uint8 // looks since the last packet came at which packets had been sent
	unheard    uint8 // the same, since the last report of it as well

	since int64  // when packets were first sent after the last one came; UnixNano, 0: none were
	sent  uint64 // packets that had been sent by then
	total uint64 // packets that had been sent at the last look
}

// An Unheard tells of packets that were sent for a policy since the last one came, on any of its
// SAs. Dummy packets do not count, but answers to probes do as packets that came.
type Unheard struct {
	Since   time.Time // when the first of them was sent, to half a second; zero: there are none
	Packets uint64
}

const (
	silenceEvery = 500 * time.Millisecond // the interval of looks
	// usualLooks is after how many looks with packets from the peer they are taken for usual.
	usualLooks = 3
	// silentLooks is the number of looks with packets to the peer, and none from it, that is a
	// silence. It leaves the first packet after a pause a second for its answer.
	silentLooks = 3
	// unheardLooks is the number of looks with packets to the peer, and none from it, after which
	// that is reported, also where it is usual, and again after as many more: at least eight
	// seconds of sending.
	unheardLooks = 16
	// silenceLag is how much later than its time a packet may be noted, by the coarse clock of its
	// worker.
	silenceLag = 10 * time.Millisecond
)

// look notes whether packets were received and sent since the last look. It reports whether a
// silence is to be reported: once, until packets are usual again; and whether it is to be reported
// that packets are sent and none come, usual or not.
func (s *silence) look(in, out bool) (silent, unheard bool) {
	switch {
	case in:
		s.answered, s.unanswered, s.unheard = min(s.answered+1, usualLooks), 0, 0
	case out:
		s.unanswered, s.unheard = min(s.unanswered+1, silentLooks), s.unheard+1
	}
	if unheard = s.unheard == unheardLooks; unheard {
		s.unheard = 0
	}
	if silent = s.unanswered == silentLooks && s.answered == usualLooks; silent {
		s.answered, s.unanswered = 0, 0
	}
	return silent, unheard
}

// lookForSilence looks at the policies with an SA on a path in use, which is one with a time at
// which its use is to be checked. It reports one pair of each policy that fell silent, or for which
// nothing comes.
func (p *Plane) lookForSilence(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := max(p.looked-int64(silenceLag), 0) // a pair that never sent has 0
	p.looked = now.UnixNano()
	p.lookAtSources(now, since)
	for _, pt := range p.paths.due {
		if pt.checkAt == 0 {
			continue
		}
		for _, c := range pt.pairs {
			if s := p.slots[c.sa.Policy]; s != nil && s.lookedAt != p.looked {
				s.lookedAt = p.looked
				p.lookAt(s, since)
			}
		}
	}
}

// lookAt looks at the SAs of a policy, on whichever path. Plane.mu is held.
func (p *Plane) lookAt(s *slot, since int64) {
	in, out := s.silence.probed, false
	s.silence.probed = false
	for _, c := range s.pairs {
		received := c.received()
		in, out = in || received, out || c.lastOut.Load() > since
	}
	silent, unheard := s.silence.look(in, out)
	s.silence.noteSent(in, out, p.looked, s.sent())
	c := newestToSend(s.pairs)
	if c == nil {
		return
	}
	if silent {
		p.tally.add(countUnanswered, 1)
		p.events.post(ipsec.Event{Kind: ipsec.EventUnanswered, ID: c.sa.ID})
	}
	if unheard {
		p.tally.add(countUnheard, 1)
		p.events.post(ipsec.Event{Kind: ipsec.EventUnheard, ID: c.sa.ID})
	}
}

// noteSent notes when packets were first sent since the last one came. total is how many were sent
// so far.
func (s *silence) noteSent(in, out bool, now int64, total uint64) {
	switch {
	case in:
		s.since = 0
	case out && s.since == 0:
		s.since, s.sent = now-int64(silenceEvery), s.total
	}
	s.total = total
}

// unheardOf returns what was sent since a packet came, if total is how many were sent so far.
func (s *silence) unheardOf(total uint64) Unheard {
	if s.since == 0 {
		return Unheard{}
	}
	return Unheard{Since: time.Unix(0, s.since), Packets: total - min(total, s.sent)}
}

// sent returns how many packets other than dummies were sent for the policy since it was set. A
// dummy counts as sent once it is posted, so that the number may fall for a moment. Plane.mu is
// held.
func (s *slot) sent() uint64 {
	n := s.past.out.Packets
	for _, c := range s.pairs {
		n += c.sentSoFar().Packets
	}
	return n - min(n, s.dummies)
}

// received reports whether packets other than dummies came on the pair since the last look.
// Plane.mu is held.
func (c *pair) received() bool {
	if c.in == nil {
		return false
	}
	before := c.inAtLook
	c.inAtLook = c.in.Used().Packets
	return c.inAtLook != before
}
