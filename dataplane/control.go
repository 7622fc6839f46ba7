package dataplane

import (
	"context"
	"sync"
	"time"
)

// tickEvery is the interval of the control goroutine's periodic work.
const tickEvery = time.Second

// control is the goroutine for work too slow for a worker: asking for the MTUs of first hops,
// finding those of paths, setting the TUN's, and dropping packets that were in the acquire queue
// for too long, and looking for peers that fell silent.
func (p *Plane) control(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	looks := time.NewTicker(silenceEvery)
	defer looks.Stop()
	shows := time.NewTicker(showEvery)
	defer shows.Stop()
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
		case <-looks.C:
			p.lookForSilence(p.cfg.Now())
			continue
		case <-shows.C:
			p.showPaths(p.cfg.Now())
			continue
		case <-due.C:
		case <-tick.C:
			now := p.cfg.Now()
			p.acquires.tick(now)
			p.tickFragments(now)
			p.tickEarlies(now)
			p.refreshSome(now)
		}
		p.setTUNMTU()
		if wait, ok := p.searchPaths(); ok {
			due.Reset(wait)
		}
	}
}

// nudge wakes the control goroutine. It never blocks.
func (p *Plane) nudge() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// noticed handles the pairs that workers have noted.
func (p *Plane) noticed() {
	p.refresh(p.pathsOf(p.doubts.take()))
	p.stir(p.stirred.take())
	p.barred(p.refused.take())
}

// A notices is a set of pairs that workers have noted for the control goroutine, each once.
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
