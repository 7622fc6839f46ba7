package pmtu

import (
	"slices"
	"time"
)

// A round is a set of sizes probed together. A size passes only if the smaller ones do, so one
// round trip of a round replaces many of a search size by size.
type round struct {
	sizes []attempt // ascending
	until time.Time // the end of the present try
	widen bool      // sizes between the first and the last join once the last seems lost
	heard bool      // there was an answer
}

// An attempt is a size of a round. All its tries have the same ID: an answer to any of them shows
// that the size passes.
type attempt struct {
	Probe
	at       time.Time // of the last try
	tries    int
	answered bool
	lost     bool // every try, and the last has timed out
}

func (r *round) find(answer Probe) *attempt {
	for i := range r.sizes {
		if r.sizes[i].Probe == answer {
			return &r.sizes[i]
		}
	}
	return nil
}

// open reports whether an answer to a size above low can still come.
func (r *round) open(low int32) bool {
	return slices.ContainsFunc(r.sizes, func(a attempt) bool { return a.Size > int(low) && !a.answered })
}

// giveUp marks the sizes whose last try has timed out.
func (r *round) giveUp() {
	for i := range r.sizes {
		a := &r.sizes[i]
		a.lost = !a.answered && a.tries == maxTries
	}
}

// failed returns the smallest lost size above low, or 0.
func (r *round) failed(low int32) int32 {
	for i := range r.sizes {
		if a := &r.sizes[i]; a.Size > int(low) && a.lost && !a.answered {
			return int32(a.Size)
		}
	}
	return 0
}

// Deadline returns the time of the next Step; zero if only another event makes one necessary.
func (p *Path) Deadline() time.Time {
	due := p.wanted()
	if p.round != nil {
		due = at(p.round.until)
	} else if !p.answers {
		due = sooner(due, p.raiseAt)
	}
	return sooner(due, p.askDue()).time()
}

// sooner returns the earlier of two moments.
func sooner(a, b instant) instant {
	if a == never || b != never && b < a {
		return b
	}
	return a
}

// wanted returns the time of the next round, or never without a reason for one.
func (p *Path) wanted() instant {
	switch {
	case p.mute > 0:
		if p.traffic == noTraffic {
			return never
		}
		return p.startAt
	case p.low < p.mtu || p.gap():
		return p.startAt
	case p.traffic == noTraffic:
		return never
	}
	due := p.ended.add(confirmLight)
	if p.traffic == largePackets {
		due = p.ended.add(confirmBusy)
	}
	if p.raiseAt != never && p.raiseAt < due {
		return p.raiseAt
	}
	return due
}

// gap reports whether a size between the bounds is worth a probe.
func (p *Path) gap() bool { return p.high-p.low > grain && p.high <= p.ceil }

// Step appends the probes to send now. It may change the MTU in force.
func (p *Path) Step(now time.Time, out []Probe) []Probe {
	if p.round != nil {
		if now.Before(p.round.until) {
			return out
		}
		p.round.giveUp()
		p.judge()
		var more bool
		if out, more = p.try(now, out); more {
			return out
		}
		p.finish(now)
	}
	p.age(now)
	if due := p.wanted(); due == never || at(now) < due {
		return out
	}
	p.begin(now)
	out, _ = p.try(now, out)
	return out
}

// age forgets old ICMP claims where no probe can check them (RFC 1191, Section 6.3).
func (p *Path) age(now time.Time) {
	if p.answers || p.raiseAt == never || at(now) < p.raiseAt {
		return
	}
	p.mtu, p.low, p.high, p.raiseAt = p.ceil, 0, p.ceil+1, never
	p.askAgain(now)
}

// begin chooses the sizes of a round. The smallest shows whether the peer answers at all.
func (p *Path) begin(now time.Time) {
	p.round = &round{}
	p.traffic = noTraffic
	switch {
	case p.raiseAt != never && at(now) >= p.raiseAt:
		p.high, p.raiseAt = p.ceil+1, at(now).add(raiseAfter)
		p.add(p.mtu)
		p.addSteps(p.mtu, p.ceil)
		p.add(p.ceil)
	case p.low >= p.mtu && p.gap():
		p.add(p.low)
		p.addBetween(p.low, p.high)
	default:
		p.low, p.round.widen = 0, true
		p.add(p.floor)
		p.add(p.mtu)
	}
}

// add adds a size to the round.
func (p *Path) add(size int32) {
	i, found := slices.BinarySearchFunc(p.round.sizes, int(size), func(a attempt, size int) int { return a.Size - size })
	if found {
		return
	}
	p.lastID++
	p.round.sizes = slices.Insert(p.round.sizes, i, attempt{Probe: Probe{Size: int(size), ID: p.lastID}})
}

// addSteps adds the common sizes strictly between two.
func (p *Path) addSteps(low, high int32) {
	for _, s := range steps {
		if s > low && s < high {
			p.add(s)
		}
	}
}

// addBetween adds sizes that divide the gap between two evenly.
func (p *Path) addBetween(low, high int32) {
	step := (high-low)/(refineSizes+1)&^(grain-1) + grain
	for s := low + step; s < high && len(p.round.sizes) <= refineSizes; s += step {
		p.add(s)
	}
}

// try appends the probes of the round that are due, first tries and repetitions. It reports whether
// there are any; without one the round is over.
func (p *Path) try(now time.Time, out []Probe) ([]Probe, bool) {
	r := p.round
	if r.widen && r.heard {
		r.widen = false
		p.addSteps(p.floor, int32(r.sizes[len(r.sizes)-1].Size))
	}
	sent := len(out)
	for i := range r.sizes {
		a := &r.sizes[i]
		if a.answered || a.Size <= int(p.low) && r.heard || a.tries == maxTries {
			continue
		}
		a.tries++
		a.at = now
		out = append(out, a.Probe)
	}
	r.until = now.Add(p.timer())
	return out, len(out) > sent
}

// judge draws the bounds from the answers of the round. A round without any answer shows nothing
// about sizes.
func (p *Path) judge() {
	if p.low >= p.high {
		p.high = p.ceil + 1
	}
	if f := p.round.failed(p.low); f != 0 && p.round.heard {
		p.high = min(p.high, f)
	}
	if p.low > p.mtu || p.low > 0 && p.high <= p.mtu {
		p.mtu = p.low
	}
}

// finish ends the round.
func (p *Path) finish(now time.Time) {
	heard := p.round.heard
	p.round = nil
	p.ended, p.startAt = at(now), at(now)
	if !heard {
		p.mute++
		if p.mute >= forgotten {
			p.answers = false
		}
		most := backoffNever
		if p.answers {
			most = backoffKnown
		}
		p.startAt = at(now).add(min(backoffFirst<<min(p.mute-1, forgotten), most))
		return
	}
	switch {
	case p.mtu >= p.ceil:
		p.raiseAt = never
	case p.raiseAt == never:
		p.raiseAt = at(now).add(raiseAfter)
	}
}
