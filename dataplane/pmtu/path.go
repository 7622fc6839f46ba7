// Package pmtu discovers the MTU of one outer path. It starts from the MTU of the first hop, lowers
// it by validated ICMP errors (RFC 1191, RFC 8201) and by probes of a known size (RFC 8899), and
// raises it again when that knowledge is old. It is a pure machine: the time is an argument, and
// the probes to send are results.
//
//	            answered                      a larger one fails, a smaller one passes
//	assumed  -------------->  confirmed  <------------------------------------  searching
//	(Ceil, or by ICMP)            |  every 5 s while there is traffic: still so?     ^
//	     |                        |  after 10 minutes: is more possible?             |
//	     |                        +--------------------------------------------------+
//	     +--> mute: the peer answers no probe; only ICMP, time and questions (Ask) change the MTU
//
// All sizes are octets of a whole outer IP packet.
package pmtu

import "time"

const (
	// maxTries is the number of probes of a size before it counts as too large (RFC 8899, Section
	// 5.1.2).
	maxTries = 3
	// minTimer and maxTimer bound the wait for an answer (RFC 8899, Section 5.1.1).
	minTimer, maxTimer = time.Second, 5 * time.Second
	// raiseAfter is the age at which a learnt limit is tested for a larger MTU (RFC 8899, Section
	// 5.1.1; RFC 1191, Section 6.3).
	raiseAfter = 10 * time.Minute
	// confirmBusy and confirmLight are the greatest age of a confirmation while large packets are
	// sent, and while there is any traffic.
	confirmBusy, confirmLight = 5 * time.Second, time.Minute
	// restartAfter keeps SAs that come up together from starting a search each.
	restartAfter = 10 * time.Second
	// A peer that answered before is probed again sooner than one that never did.
	backoffFirst, backoffKnown, backoffNever = 10 * time.Second, time.Minute, 10 * time.Minute
	// forgotten is the number of silent rounds after which a peer counts as one that never answers.
	forgotten = 8
	// grain is the alignment of ESP (RFC 4303, Section 2.4): a finer search would find nothing.
	grain = 4
	// refineSizes is the number of sizes probed at once between the largest that passes and the
	// smallest that does not.
	refineSizes = 7
)

// steps are common path MTUs: devices, PPPoE, nested tunnels, the protocols' minima.
var steps = [...]int32{576, 1006, 1280, 1340, 1380, 1400, 1420, 1440, 1454, 1480, 1492, 1500, 4352, 9000, 17914}

// Limits bound the result.
type Limits struct {
	Floor int // no smaller size is believed or probed (MIN_PLPMTU)
	Ceil  int // the MTU of the first hop (MAX_PLPMTU)
}

// A Probe is a packet to send with exactly Size octets; its answer names ID.
type Probe struct {
	Size int
	ID   uint64
}

// A Path holds what is known of one path. It is not safe for concurrent use. It is small, because a
// daemon may have very many.
type Path struct {
	floor, ceil int32 // Limits
	mtu         int32 // in force
	low         int32 // the largest size known to pass; 0: none
	high        int32 // the smallest size known not to pass; ceil+1: none
	mute        int32 // rounds in a row without any answer

	answers bool    // the peer has answered a probe, and is not forgotten
	traffic traffic // since the last round began

	rtt     time.Duration // smoothed; 0: unknown
	startAt instant       // of the wanted round, if there is a reason for one
	ended   instant       // the last round
	raiseAt instant       // never: larger sizes are not due
	lastID  uint64
	round   *round  // nil: none
	asking  *asking // nil: no question was ever asked
}

// instant is a time in nanoseconds since 1970, a third of the size of a time.Time.
type instant int64

const never instant = 0

func at(t time.Time) instant { return instant(t.UnixNano()) }

func (i instant) add(d time.Duration) instant { return i + instant(d) }

// time returns the zero time for never.
func (i instant) time() time.Time {
	if i == never {
		return time.Time{}
	}
	return time.Unix(0, int64(i))
}

// New returns a path whose MTU is assumed to be that of its first hop. The first probes are due at
// once. Their IDs grow from firstID; a range of its own for each path keeps answers apart.
func New(now time.Time, l Limits, firstID uint64) Path {
	p := Path{startAt: at(now), lastID: firstID - 1}
	p.set(l)
	p.mtu, p.high = p.ceil, p.ceil+1
	return p
}

// set sets the limits. A first hop with a smaller MTU than the floor lowers the floor.
func (p *Path) set(l Limits) {
	p.floor, p.ceil = int32(min(l.Floor, l.Ceil)), int32(l.Ceil)
}

// MTU returns the MTU in force.
func (p *Path) MTU() int { return int(p.mtu) }

// SetLimits changes the bounds, after another MTU of a device or route, or another configuration.
func (p *Path) SetLimits(now time.Time, l Limits) {
	floor, ceil := p.floor, p.ceil
	open := p.high > ceil // only the first hop bounds the path
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

// TooBig takes the MTU of an ICMP error that certainly quotes a packet of ours; 0 comes from a
// router older than RFC 1191. It returns false for a claim below the floor, which is not believed.
// A claim not smaller than the MTU in force is about earlier packets and changes nothing.
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
	if p.low > told { // of another path, or of an earlier time
		p.low = 0
	}
	p.raiseAt = at(now).add(raiseAfter)
	if a := p.asking; a != nil { // nothing above is asked before then
		a.size, a.searching, a.at = 0, false, p.raiseAt
	}
	p.ask(now)
	return true
}

// stepBelow returns the next smaller step (RFC 1191, Section 5), but at least the floor.
func (p *Path) stepBelow() int32 {
	below := p.floor
	for _, s := range steps {
		if s > p.floor && s < p.mtu {
			below = s
		}
	}
	return below
}

// ask ends an outdated round and wants another. A silent peer is still not probed before its time.
func (p *Path) ask(now time.Time) {
	p.round = nil
	if p.mute == 0 {
		p.startAt = at(now)
	}
}

// Restart wants a silent peer probed because an SA has come up: the peer, or its software, may be
// new. One that answers is probed anyway if the MTU is not confirmed.
func (p *Path) Restart(now time.Time) {
	if p.round != nil || p.ended != never && at(now) < p.ended.add(restartAfter) {
		return
	}
	if p.mute > 0 {
		p.mute, p.startAt, p.traffic = 0, at(now), max(p.traffic, someTraffic)
	}
}

// traffic is what the path has carried.
type traffic uint8

const (
	noTraffic traffic = iota
	someTraffic
	largePackets // among others
)

// Used notes traffic since the last call; large means packets of more than a few hundred octets.
func (p *Path) Used(large bool) {
	most := someTraffic
	if large {
		most = largePackets
	}
	p.traffic = max(p.traffic, most)
	if p.asking != nil {
		p.asking.used = true
	}
}

// Answer notes that the probe arrived, and reports whether the MTU in force has changed.
func (p *Path) Answer(now time.Time, answer Probe) bool {
	if p.round == nil {
		return false
	}
	a := p.round.find(answer)
	if a == nil || a.answered {
		return false
	}
	a.answered = true
	if a.tries == 1 { // otherwise it may be the answer to an earlier try
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

// measure smooths the round-trip time: a new sample weighs an eighth.
func (p *Path) measure(rtt time.Duration) {
	if p.rtt == 0 {
		p.rtt = rtt
		return
	}
	p.rtt += (rtt - p.rtt) / 8
}

// timer returns the wait for an answer.
func (p *Path) timer() time.Duration { return min(max(minTimer, 3*p.rtt), maxTimer) }
