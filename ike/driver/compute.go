package driver

import (
	"fmt"
	"runtime/debug"

	"culvert/ike"
)

// maxNewcomerJobs bounds the waiting computations for half-open SAs. Above it the messages of new
// peers stay in their queues, which drop them when full. So a flood of strangers costs a bounded
// backlog, and never a rekey of a tunnel that is up.
const maxNewcomerJobs = 64

// A job is a computation; class is that of the input that asked for it.
type job struct {
	id    uint64
	run   func() any
	class class
}

// A result is the outcome of a job. After a panic of run, panicked holds its text and stack, and
// value an error.
type result struct {
	id       uint64
	value    any
	class    class
	panicked string
}

// A pool holds the backlog of computations, which belongs to the control goroutine, and the
// channels to the workers. Jobs of established SAs go first. The engine bounds both backlogs: each
// SA waits for one computation at a time.
type pool struct {
	first, newcomers []job
	jobs             chan job
	results          chan result
}

func newPool() pool { return pool{jobs: make(chan job), results: make(chan result)} }

func (p *pool) add(j job) {
	if j.class == classEstablished {
		p.first = append(p.first, j)
		return
	}
	p.newcomers = append(p.newcomers, j)
}

// next returns the next job and the channel to offer it on; a nil channel without a job.
func (p *pool) next() (chan<- job, job) {
	switch {
	case len(p.first) > 0:
		return p.jobs, p.first[0]
	case len(p.newcomers) > 0:
		return p.jobs, p.newcomers[0]
	}
	return nil, job{}
}

// taken removes the job of the last next, after a worker took it.
func (p *pool) taken() {
	if len(p.first) > 0 {
		p.first = shift(p.first)
		return
	}
	p.newcomers = shift(p.newcomers)
}

// shift removes the first job, and with the last one the backing array, which a flood may have
// enlarged.
func shift(jobs []job) []job {
	jobs[0] = job{}
	if len(jobs) == 1 {
		return nil
	}
	return jobs[1:]
}

func (p *pool) newcomersFull() bool { return len(p.newcomers) >= maxNewcomerJobs }

// work runs jobs until done is closed.
func (p *pool) work(done <-chan struct{}) {
	for {
		select {
		case j := <-p.jobs:
			r := runJob(j)
			select {
			case p.results <- r:
			case <-done:
				return
			}
		case <-done:
			return
		}
	}
}

func runJob(j job) (r result) {
	r = result{id: j.id, class: j.class}
	defer func() {
		if why := recover(); why != nil {
			r.value = fmt.Errorf("internal error in a computation: %v", why)
			r.panicked = fmt.Sprintf("%v\n%s", why, debug.Stack())
		}
	}()
	r.value = j.run()
	return r
}

// computed feeds a result to the engine.
func (d *Driver) computed(r result) {
	if r.panicked != "" {
		d.counts.computePanics.Add(1)
		d.logPanic("a computation panicked", r.panicked)
	}
	d.handle(ike.Computed{ID: r.id, Value: r.value}, r.class)
}
