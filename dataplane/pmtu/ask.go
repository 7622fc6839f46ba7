package pmtu

import "time"

// asking is the search where the peer answers no probe: somebody who can get a large packet
// answered otherwise is asked, for one size at a time. The first is the largest, so that a path
// that takes it costs one question.
type asking struct {
	low, high int32   // the largest size that passed, and the least that was lost; 0: none
	passed    int32   // what was sent of low
	size      int32   // that is asked now; 0: none is
	unknown   int32   // answers in a row that said nothing
	searching bool    // low and high are not yet next to each other
	used      bool    // there was traffic since the last search began
	at        instant // when size is given up, or the next may be asked
}

// Verdict is what became of a size that was asked.
type Verdict uint8

// Verdicts.
const (
	Unknown Verdict = iota // it could not be sent, or what became of it is not certain
	Passed
	Lost // the peer is there, and did not get it
)

const (
	// askLargest is the largest size that is asked: it goes in a message that every peer must take,
	// if only in fragments.
	askLargest = 3000
	// askBase is in force, and asked next, once a size in use is lost: most paths take it (RFC 8899,
	// Section 5.1.2: BASE_PLPMTU).
	askBase = 1280
	// askLimit is how long an answer is waited for.
	askLimit = 5 * time.Minute
	// askBackoff is the pause after a question of which nothing was learnt. It doubles, up to
	// raiseAfter.
	askBackoff = 10 * time.Second
)

// mayAsk reports whether probes show nothing.
func (p *Path) mayAsk() bool { return p.mute > 0 && !p.answers }

// Ask returns a size of which is to be found out, and told, whether it passes. False: there is none
// now. It is called after Step.
func (p *Path) Ask(now time.Time) (size int, ok bool) {
	if !p.mayAsk() {
		return 0, false
	}
	if p.asking == nil {
		p.asking = &asking{used: p.used, at: at(now)}
	}
	a := p.asking
	if a.size != 0 && at(now) >= a.at {
		p.Told(now, int(a.size), int(a.size), Unknown)
	}
	if a.size != 0 || p.askDue() == never || at(now) < a.at {
		return 0, false
	}
	a.size = p.askNext()
	a.at = at(now).add(askLimit)
	return int(a.size), true
}

// askDue is when Ask is to be called; never: there is no reason.
func (p *Path) askDue() instant {
	a := p.asking
	if a == nil || !p.mayAsk() || a.size == 0 && !a.searching && !a.used {
		return never
	}
	return a.at
}

// askTop is the largest size that may be asked.
func (p *Path) askTop() int32 { return min(p.ceil, askLargest) }

// askNext chooses a size: the largest, the one in force, then usual ones between what passes and
// what does not, and then what is between those.
func (p *Path) askNext() int32 {
	a := p.asking
	if !a.searching {
		a.low, a.high, a.passed, a.searching, a.used = 0, 0, 0, true, false
		return p.askTop()
	}
	if a.low == 0 && p.mtu < a.high {
		return p.mtu
	}
	var between []int32
	for _, s := range steps {
		if s > a.low && s >= p.floor && s < a.high {
			between = append(between, s)
		}
	}
	switch {
	case len(between) > 0:
		return between[len(between)/2]
	case a.low == 0:
		return p.floor
	}
	return a.low + max((a.high-a.low)/2&^(grain-1), grain)
}

// Told notes what became of a size that Ask returned. It was tried with sent octets, which may be a
// few less, and mean nothing if v is Unknown. It reports whether the MTU in force has changed.
func (p *Path) Told(now time.Time, size, sent int, v Verdict) bool {
	a := p.asking
	if a == nil || a.size == 0 || int(a.size) != size || v != Unknown && (sent <= 0 || sent > size) {
		return false
	}
	a.size = 0
	if v == Unknown {
		p.askLater(now)
		return false
	}
	a.at, a.unknown = at(now), 0
	old := p.mtu
	if v == Lost {
		a.high = int32(size)
	} else {
		p.askPassed(int32(size), int32(sent))
	}
	switch {
	case a.low > 0 && (a.passed > p.mtu || a.high <= p.mtu):
		p.mtu = max(a.passed, p.floor)
	case a.low == 0 && a.high <= p.floor:
		p.mtu = p.floor
	case a.low == 0 && a.high <= p.mtu && a.high > askBase:
		p.mtu = max(askBase, p.floor)
	}
	p.high = p.mtu + 1
	if a.high <= max(a.low+grain, p.floor) {
		// Only what is seen to pass raises the MTU from now on.
		a.searching, a.at, p.raiseAt = false, at(now).add(raiseAfter), never
	}
	return p.mtu != old
}

// askPassed notes that sent octets pass, where size were asked.
func (p *Path) askPassed(size, sent int32) {
	a := p.asking
	a.low, a.passed = size, sent
	if a.high > 0 {
		return
	}
	if size < p.ceil { // what is above can only be assumed
		a.low, a.passed = p.ceil, p.ceil
	}
	a.high = a.passed + 1 // the first of a search is the largest
}

// askLater ends a search of which nothing is learnt at present. What it had learnt grows old.
func (p *Path) askLater(now time.Time) {
	a := p.asking
	a.at = at(now).add(min(askBackoff<<min(a.unknown, 10), raiseAfter))
	a.unknown++
	a.searching, a.used = false, a.used || a.searching
	if p.mtu < p.ceil && p.raiseAt == never {
		p.raiseAt = at(now).add(raiseAfter)
	}
}

// askAgain forgets a search that is about what is no longer so. The next one begins at once, unless
// nothing was learnt of the last.
func (p *Path) askAgain(now time.Time) {
	a := p.asking
	if a == nil {
		return
	}
	a.size, a.searching, a.used = 0, false, true
	if a.unknown == 0 {
		a.at = at(now)
	}
}
