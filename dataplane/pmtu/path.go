// Package pmtu finds the MTU of one outer path: what the first hop takes, lowered by what validated
// ICMP says (RFC 1191, RFC 8201) and by what probes of a known size show (RFC 8899), and raised
// again when that is old. It is a pure machine: it is given the time and says what is to be sent.
//
//	            answered                      a larger one fails, a smaller one passes
//	assumed  -------------->  confirmed  <------------------------------------  searching
//	(Ceil, or by ICMP)            |  every 5 s while there is traffic: still so?     ^
//	     |                        |  after 10 minutes: is more possible?             |
//	     |                        +--------------------------------------------------+
//	     +--> mute: the peer answers no probe, so that only ICMP, time, and what is found out
//	          otherwise (Ask) change anything
//
// All sizes are octets of a whole outer IP packet.
package pmtu

import "time"

const (
	// maxTries is how often a size is probed before it counts as too large (RFC 8899, Section
	// 5.1.2).
	maxTries = 3
	// minTimer bounds the wait for an answer from below (RFC 8899, Section 5.1.1), maxTimer from
	// above.
	minTimer, maxTimer = time.Second, 5 * time.Second
	// raiseAfter is when more than what was learnt is tried (RFC 8899, Section 5.1.1; RFC 1191,
	// Section 6.3).
	raiseAfter = 10 * time.Minute
	// confirmBusy and confirmLight are how old a confirmation may be while large packets are sent,
	// and while there is any traffic.
	confirmBusy, confirmLight = 5 * time.Second, time.Minute
	// restartAfter keeps SAs that come up together from starting a search each.
	restartAfter = 10 * time.Second
	// A peer that answered before is asked again sooner than one that never did.
	backoffFirst, backoffKnown, backoffNever = 10 * time.Second, time.Minute, 10 * time.Minute
	// forgotten is after how many rounds without an answer a peer counts as one that never answers.
	forgotten = 8
	// grain is what ESP aligns to (RFC 4303, Section 2.4): a finer search would find nothing.
	grain = 4
	// refineSizes is how many sizes between the largest that passes and the least that does not are
	// probed at once.
	refineSizes = 7
)

// steps are sizes that paths often have: devices, PPPoE, tunnels in tunnels, the minima.
var steps = [...]int32{576, 1006, 1280, 1340, 1380, 1400, 1420, 1440, 1454, 1480, 1492, 1500, 4352, 9000, 17914}

// Limits bound the result.
type Limits struct {
	Floor int // no smaller size is believed or probed (MIN_PLPMTU)
	Ceil  int // what the first hop takes (MAX_PLPMTU)
}

// Probe is a packet to be sent with exactly Size octets, whose answer names ID.
type Probe struct {
	Size int
	ID   uint64
}

// Path is one path. It is not for concurrent use. There may be very many: it is small.
type Path struct {
	floor, ceil int32 // Limits
	mtu         int32 // in force
	low         int32 // the largest size that is known to pass; 0: none
	high        int32 // the least size that is known not to pass; ceil+1: none
	mute        int32 // rounds in a row without any answer

	answers bool // the peer has answered a probe, and not ceased to
	used    bool // there was traffic since the last round began
	busy    bool // of large packets

	rtt     time.Duration // smoothed; 0: unknown
	startAt instant       // of the round that is wanted, if there is a reason for one
	ended   instant       // the last round
	raiseAt instant       // never: nothing is above mtu
	lastID  uint64
	round   *round  // nil: none
	asking  *asking // nil: nothing was ever asked
}

// instant is a time in a third of the space.
type instant int64

const never instant = 0

func at(t time.Time) instant { return instant(t.UnixNano()) }

func (i instant) add(d time.Duration) instant { return i + instant(d) }

// time is the zero time for never.
func (i instant) time() time.Time {
	if i == never {
		return time.Time{}
	}
	return time.Unix(0, int64(i))
}

// New makes a path that is assumed to take what its first hop does. The first probes are due at
// once; their IDs grow from firstID, so that no answer is another path's.
func New(now time.Time, l Limits, firstID uint64) Path {
	p := Path{startAt: at(now), lastID: firstID - 1}
	p.set(l)
	p.mtu, p.high = p.ceil, p.ceil+1
	return p
}

// set sets the limits. A first hop that takes less than the floor is the floor.
func (p *Path) set(l Limits) {
	p.floor, p.ceil = int32(min(l.Floor, l.Ceil)), int32(l.Ceil)
}

// MTU returns the MTU in force.
func (p *Path) MTU() int { return int(p.mtu) }

// SetLimits changes the bounds: a device or a route has another MTU, or the configuration says so.
func (p *Path) SetLimits(now time.Time, l Limits) {
	floor, ceil := p.floor, p.ceil
	open := p.high > ceil // nothing on the path but the first hop bounds it
	p.set(l)
	if p.floor == floor && p.ceil == ceil {
		return
	}
	if open || p.high > p.ceil {
		p.high, p.raiseAt = p.ceil+1, never
	}
	p.low = min(p.low, p.ceil)
	p.mtu = max(min(p.mtu, p.ceil), p.floor)
	if open {
		p.mtu = p.ceil
	}
	p.askAgain(now)
	p.ask(now)
}

// TooBig notes what an ICMP error says that quotes a packet of ours for certain; mtu 0 is a router
// from before RFC 1191. It reports false for a claim below the floor, which is not believed. One
// that is no smaller than the MTU in force is about packets of before, and changes nothing.
func (p *Path) TooBig(now time.Time, mtu int) bool {
	told := int32(min(mtu, 1<<16))
	if told == 0 {
		told = p.stepBelow()
	}
	if told < p.floor {
		return false
	}
	if told >= p.mtu {
		return true
	}
	p.mtu, p.high = told, told+1
	if p.low > told { // of another path, or of before
		p.low = 0
	}
	p.raiseAt = at(now).add(raiseAfter)
	if a := p.asking; a != nil { // nothing above is asked before its time
		a.size, a.searching, a.at = 0, false, p.raiseAt
	}
	p.ask(now)
	return true
}

// stepBelow is the next smaller step (RFC 1191, Section 5), but no less than the floor.
func (p *Path) stepBelow() int32 {
	below := p.floor
	for _, s := range steps {
		if s > p.floor && s < p.mtu {
			below = s
		}
	}
	return below
}

// ask ends a round that is about what is no longer so, and wants one. A peer that does not answer
// is still not asked before its time.
func (p *Path) ask(now time.Time) {
	p.round = nil
	if p.mute == 0 {
		p.startAt = at(now)
	}
}

// Restart wants the MTU confirmed because an SA has come up: the peer, or what it is, may be new.
func (p *Path) Restart(now time.Time) {
	if p.round != nil || p.ended != never && at(now) < p.ended.add(restartAfter) {
		return
	}
	if p.mute > 0 || p.low < p.mtu {
		p.mute, p.startAt, p.used = 0, at(now), true
	}
}

// Used notes that there was traffic since the last call; large: with packets of more than a few
// hundred octets.
func (p *Path) Used(large bool) {
	p.used = true
	p.busy = p.busy || large
	if p.asking != nil {
		p.asking.used = true
	}
}

// Answer notes that the probe arrived. It reports whether the MTU in force has changed.
func (p *Path) Answer(now time.Time, answer Probe) bool {
	if p.round == nil {
		return false
	}
	a := p.round.find(answer)
	if a == nil || a.answered {
		return false
	}
	a.answered = true
	if a.tries == 1 { // else it may be that of an earlier one
		p.measure(now.Sub(a.at))
	}
	p.round.heard, p.answers, p.mute = true, true, 0
	old := p.mtu
	p.low = max(p.low, int32(a.Size))
	p.judge()
	if !p.round.open(p.low) {
		p.finish(now)
	}
	return p.mtu != old
}

// measure smooths the round-trip time.
func (p *Path) measure(rtt time.Duration) {
	if p.rtt == 0 {
		p.rtt = rtt
		return
	}
	p.rtt += (rtt - p.rtt) / 8
}

// timer is how long an answer is waited for.
func (p *Path) timer() time.Duration { return min(max(minTimer, 3*p.rtt), maxTimer) }
