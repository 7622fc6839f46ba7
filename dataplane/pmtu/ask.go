package pmtu

import "time"

// asking is the search where the peer answers no probe: the owner of another channel to the peer is
// asked about one size at a time. The first is the largest, so a path that takes it costs one
// question.
type asking struct {
	low, high int32   // the largest size that passed, and the smallest that was lost; 0: none
	passed    int32   // the octets sent for low
	size      int32   // the open question; 0: none
	unknown   int32   // questions in a row without a verdict
	searching bool    // low and high are not yet adjacent
	used      bool    // there was traffic since the last search began
	at        instant // the time limit of size, or when the next may be asked
}

// A Verdict is the outcome of a question about a size.
type Verdict uint8

// Verdicts.
const (
	Unknown Verdict = iota // it could not be sent, or its fate is not certain
	Passed
	Lost // the peer is there and did not receive it
)

const (
	// askLargest is the largest size in a question: it travels in a message that every peer must
	// accept, if only in fragments.
	askLargest = 3000
	// askBase is in force, and asked next, once a size in use is lost: most paths take it (RFC
	// 8899, Section 5.1.2: BASE_PLPMTU).
	askBase = 1280
	// askLimit is the time limit of a question.
	askLimit = 5 * time.Minute
	// askBackoff is the pause after a question without a verdict. It doubles, up to raiseAfter.
	askBackoff = 10 * time.Second
)

// mayAsk reports whether probes show nothing.
func (p *Path) mayAsk() bool { return p.mute > 0 && !p.answers }

// Ask returns a size to test by other means, whose outcome Told takes. It returns false if there is
// no question now. It is called after Step.
func (p *Path) Ask(now time.Time) (size int, ok bool) {
	if !p.mayAsk() {
		return 0, false
	}
	if p.asking == nil {
		p.asking = &asking{used: p.traffic != noTraffic, at: at(now)}
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

// askDue returns the time of the next Ask, or never.
func (p *Path) askDue() instant {
	a := p.asking
	if a == nil || !p.mayAsk() || a.size == 0 && !a.searching && !a.used {
		return never
	}
	return a.at
}

// askTop returns the largest size that may be asked.
func (p *Path) askTop() int32 { return min(p.ceil, askLargest) }

// askNext chooses a size: the largest, then the one in force, then common ones between the bounds,
// and then those between these.
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

// Told takes the verdict on a size that Ask returned. It was tried with sent octets, possibly a few
// fewer; sent means nothing if v is Unknown. Told reports whether the MTU in force has changed.
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
		// From now on only a larger size that passes raises the MTU.
		a.searching, a.at, p.raiseAt = false, at(now).add(raiseAfter), never
	}
	return p.mtu != old
}

// askPassed notes that sent octets pass, in answer to a question about size.
func (p *Path) askPassed(size, sent int32) {
	a := p.asking
	a.low, a.passed = size, sent
	if a.high > 0 {
		return
	}
	if size < p.ceil { // a larger size cannot be asked, only assumed
		a.low, a.passed = p.ceil, p.ceil
	}
	a.high = a.passed + 1 // the first question of a search is about the largest
}

// askLater ends a search that makes no progress now. What it had learnt grows old.
func (p *Path) askLater(now time.Time) {
	a := p.asking
	a.at = at(now).add(min(askBackoff<<min(a.unknown, 10), raiseAfter))
	a.unknown++
	a.searching, a.used = false, a.used || a.searching
	if p.mtu < p.ceil && p.raiseAt == never {
		p.raiseAt = at(now).add(raiseAfter)
	}
}

// askAgain drops an outdated search. The next one begins at once, unless the last had no verdict.
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
