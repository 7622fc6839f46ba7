package dataplane

import (
	"context"
	"sync"
	"time"
)

// tickEvery is how often the control goroutine looks after what has no event of its own.
const tickEvery = time.Second

// control is the goroutine that does what takes time and must not be done by a worker: asking for
// the MTUs of first hops, finding those of paths, setting the TUN's, dropping packets that were
// kept too long.
func (p *Plane) control(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			p.noticed()
		case e := <-p.cfg.TooBig:
			p.pathTooBig(e)
		case d := <-p.dummies:
			p.takeDummy(d)
		case <-due.C:
		case <-tick.C:
			now := p.cfg.Now()
			p.acquires.tick(now)
			p.tickFragments(now)
			p.refreshSome(now)
		}
		p.setTUNMTU()
		if wait, ok := p.searchPaths(); ok {
			due.Reset(wait)
		}
	}
}

// nudge makes the control goroutine look. It never blocks.
func (p *Plane) nudge() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// noticed does what workers have noticed.
func (p *Plane) noticed() {
	p.refresh(p.pathsOf(p.doubts.take()))
	p.stir(p.stirred.take())
}

// notices are pairs of which workers have something to tell, each once.
type notices struct {
	mu   sync.Mutex
	list []*pair
}

func (n *notices) add(c *pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, c)
}

func (n *notices) take() []*pair {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}
