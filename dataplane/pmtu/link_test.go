package pmtu

import (
	"slices"
	"testing"
	"time"
)

// link is a path with a virtual clock: probes larger than mtu vanish, others are answered after
// rtt.
type link struct {
	t    *testing.T
	path *Path
	now  time.Time
	mtu  int
	rtt  time.Duration
	lose func(Probe) bool // nil: nothing more is lost
	deaf bool             // the peer answers nothing
	sent []Probe
	air  []answer
	log  []int  // sizes sent since last asked
	asks func() // nil: nothing is asked
}

type answer struct {
	Probe
	at time.Time
}

var epoch = time.Unix(1_000_000, 0)

func newLink(t *testing.T, l Limits, mtu int) *link {
	p := New(epoch, l, 1)
	return &link{t: t, path: &p, now: epoch, mtu: mtu, rtt: 20 * time.Millisecond}
}

var ethernet = Limits{Floor: 576, Ceil: 1500}

// step lets the path send what is due.
func (l *link) step() {
	for _, p := range l.path.Step(l.now, nil) {
		if p.Size < int(l.path.floor) || p.Size > int(l.path.ceil) {
			l.t.Errorf("a probe of %d octets", p.Size)
		}
		l.sent, l.log = append(l.sent, p), append(l.log, p.Size)
		if p.Size <= l.mtu && !l.deaf && (l.lose == nil || !l.lose(p)) {
			l.air = append(l.air, answer{p, l.now.Add(l.rtt)})
		}
	}
	if l.asks != nil {
		l.asks()
	}
}

// advance lets time pass; deadlines and answers come in their order.
func (l *link) advance(d time.Duration) {
	l.t.Helper()
	end := l.now.Add(d)
	l.step()
	for range 10_000 {
		next, deliver := end, false
		if at := l.path.Deadline(); !at.IsZero() && at.Before(next) {
			next = at
		}
		if len(l.air) > 0 && !l.air[0].at.After(next) {
			next, deliver = l.air[0].at, true
		}
		if next.After(l.now) {
			l.now = next
		}
		if deliver {
			l.path.Answer(l.now, l.air[0].Probe)
			l.air = l.air[1:]
		}
		l.step()
		if !deliver && !l.now.Before(end) {
			return
		}
	}
	l.t.Fatalf("never at rest: %+v", l.path)
}

// wantMTU checks the MTU in force.
func (l *link) wantMTU(want int) {
	l.t.Helper()
	if got := l.path.MTU(); got != want {
		l.t.Fatalf("after %v: MTU %d, want %d", l.now.Sub(epoch), got, want)
	}
}

// wantSent checks the sizes of the probes since the last call.
func (l *link) wantSent(want ...int) {
	l.t.Helper()
	if !slices.Equal(l.log, want) {
		l.t.Fatalf("after %v: sent %v, want %v", l.now.Sub(epoch), l.log, want)
	}
	l.log = nil
}

// use makes a path carry large packets for d.
func (l *link) use(d time.Duration) {
	l.t.Helper()
	for range d / time.Second {
		l.path.Used(true)
		l.advance(time.Second)
	}
}

// wantTimer lets the next round begin and checks its wait for answers.
func (l *link) wantTimer(want time.Duration) {
	l.t.Helper()
	l.path.Used(true)
	for l.path.round == nil {
		l.now = l.path.Deadline()
		l.step()
	}
	if got := l.path.Deadline().Sub(l.now); got != want {
		l.t.Errorf("after %v: answers are waited for %v, want %v", l.now.Sub(epoch), got, want)
	}
	l.advance(l.rtt)
}
