package driver

import (
	"runtime"
	"time"
)

// Newcomers' computations on the thread of low priority alone would hardly run while tunnels keep
// the processors busy, and those of many clients that return at once would take minutes. So their
// quick ones have a second worker, of slightly low priority, whose time is bounded: who causes them
// may be a stranger.

// promptShare is the inverse of the part of one processor that it may take for long, and
// promptBurst what it may take at once beyond that.
const (
	promptShare = 4
	promptBurst = 20 * time.Millisecond
)

// The nice values of the threads for newcomers: the first runs when others do not need the
// processor, and still gets about a fortieth of one that is busy; the others have a third of the
// weight of the packet path.
const (
	lowNice    = 15
	promptNice = 5
)

// An allowance is the processor time of a worker that may have a part of it.
type allowance struct {
	debt time.Duration // beyond the part, until last
	last time.Time
}

// spend notes time that was used, and returns how long the worker must rest.
func (a *allowance) spend(now time.Time, used time.Duration) (rest time.Duration) {
	if !a.last.IsZero() {
		a.debt = max(a.debt-now.Sub(a.last), 0)
	}
	a.last = now
	a.debt += promptShare * used
	return max(a.debt-promptShare*promptBurst, 0)
}

// nextQuick returns the first job and the channel to offer it to the prompt worker on; a nil
// channel without one that is quick.
func (b *backlog) nextQuick() (chan<- job, job) {
	if len(b.waiting) == 0 || b.waiting[0].dear {
		return nil, job{}
	}
	return b.quick, b.waiting[0]
}

// takenQuick removes the job of the last nextQuick, after the worker took it.
func (b *backlog) takenQuick() { b.noteTaken(b.remove(0)) }

// workPromptly runs quick jobs of newcomers until done is closed, as far as its allowance goes.
func (p *pool) workPromptly(done <-chan struct{}) {
	runtime.LockOSThread() // for good: threadTime and the priority are the thread's
	lowerPriority(promptNice)
	var a allowance
	for {
		select {
		case j := <-p.newcomers.quick:
			before := threadTime()
			r := runJob(j)
			rest := a.spend(time.Now(), threadTime()-before)
			if !p.deliver(r, done) || !pause(rest, done) {
				return
			}
		case <-done:
			return
		}
	}
}

// pause waits for a time, and reports false if done is closed before.
func pause(d time.Duration, done <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}
