package driver

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"culvert/ike"
)

// maxNewcomerJobs bounds the waiting computations for half-open SAs. Above it the messages of new
// peers stay in their queues, which drop them when full. So a flood of strangers costs a bounded
// backlog, and never a rekey of a tunnel that is up.
const maxNewcomerJobs = 64

// A job is a computation; class is that of the input that asked for it.
type job struct {
	id   uint64
	run  func() any
	dear bool // it takes milliseconds
	// proved: it is for a peer that has proved its identity on an IKE SA that is half-open
	proved bool
	class  class
}

// A result is the outcome of a job. After a panic of run, panicked holds its text and stack, and
// value an error.
type result struct {
	id       uint64
	value    any
	class    class
	panicked string
}

// A pool holds the waiting computations, those of established SAs and of our own connections apart
// from those of newcomers, and these apart from those for newcomers that have proved who they are,
// and the channel of their results.
type pool struct {
	established, proved, newcomers backlog
	results                        chan result
}

// A backlog holds computations that wait, which belong to the control goroutine, and the channel to
// the workers. The engine bounds it: each SA waits for one computation at a time.
type backlog struct {
	waiting []job
	jobs    chan job
	quick   chan job // likewise, to the worker for quick ones (prompt.go)
	passed  int      // quick ones of newcomers that were taken before a dear one, since one was
}

// dearTurn is how many quick computations of newcomers go before a dear one that waits. Those of a
// steady run of quick newcomers would do so for ever.
const dearTurn = 32

func newPool() pool {
	return pool{established: backlog{jobs: make(chan job)}, proved: backlog{jobs: make(chan job)}, newcomers: backlog{jobs: make(chan job), quick: make(chan job)}, results: make(chan result)}
}

// add adds a job. Of newcomers' jobs, a quick one goes before the dear ones that wait (but see
// dearTurn): a few of these take seconds where the processors are busy, and anybody who returns a
// cookie can cause them.
func (p *pool) add(j job) {
	switch {
	case j.class == classEstablished:
		p.established.waiting = append(p.established.waiting, j)
		return
	case j.proved:
		p.proved.waiting = append(p.proved.waiting, j)
		return
	}
	b := &p.newcomers
	at := len(b.waiting)
	if first := b.firstDear(); first >= 0 && !j.dear {
		at = first
	}
	b.waiting = slices.Insert(b.waiting, at, j)
}

// firstDear returns the index of the first dear job, or -1.
func (b *backlog) firstDear() int {
	return slices.IndexFunc(b.waiting, func(w job) bool { return w.dear })
}

// next returns the next job and the channel to offer it on; a nil channel without a job.
func (b *backlog) next() (chan<- job, job) {
	if len(b.waiting) == 0 {
		return nil, job{}
	}
	return b.jobs, b.waiting[b.index()]
}

// index returns which job is the next: the first, or the first dear one if it is its turn.
func (b *backlog) index() int {
	if b.passed < dearTurn {
		return 0
	}
	return max(b.firstDear(), 0)
}

// taken removes the job of the last next, after a worker took it, and with the last one the backing
// array, which a flood may have enlarged.
func (b *backlog) taken() {
	b.noteTaken(b.remove(b.index()))
}

func (b *backlog) noteTaken(j job) {
	if b.passed++; j.class == classEstablished || j.dear || b.firstDear() < 0 {
		b.passed = 0
	}
}

// remove removes the job at a place, which keeps the order of the others.
func (b *backlog) remove(at int) job {
	j := b.waiting[at]
	copy(b.waiting[1:at+1], b.waiting[:at])
	b.waiting[0] = job{}
	b.waiting = b.waiting[1:]
	if len(b.waiting) == 0 {
		b.waiting = nil
	}
	return j
}

func (p *pool) newcomersFull() bool {
	return len(p.newcomers.waiting)+len(p.proved.waiting) >= maxNewcomerJobs
}

// start starts the workers: several for the jobs of established SAs, and one for those of
// newcomers, on a thread of low priority, so that strangers take no time from the packets of
// tunnels, but for what the one for their quick jobs may have. Half as many as the first, of
// slightly low priority, make our AUTH for newcomers that have proved who they are, which takes
// milliseconds with RSA. They end when done is closed.
func (p *pool) start(workers int, done <-chan struct{}, start func(func())) {
	for range workers {
		start(func() { p.work(p.established.jobs, done) })
	}
	for range (workers + 1) / 2 {
		start(func() { p.workNiced(promptNice, p.proved.jobs, done) })
	}
	start(func() { p.workNiced(lowNice, p.newcomers.jobs, done) })
	start(func() { p.workPromptly(done) })
}

// workNiced is work on a thread of its own, with a nice value.
func (p *pool) workNiced(nice int, jobs <-chan job, done <-chan struct{}) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	lowerPriority(nice)
	p.work(jobs, done)
}

// work runs jobs until done is closed.
func (p *pool) work(jobs <-chan job, done <-chan struct{}) {
	for {
		select {
		case j := <-jobs:
			if !p.deliver(runJob(j), done) {
				return
			}
		case <-done:
			return
		}
	}
}

// deliver hands over a result, and reports false if done is closed before.
func (p *pool) deliver(r result, done <-chan struct{}) bool {
	select {
	case p.results <- r:
		return true
	case <-done:
		return false
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

// compute has a job run where those of its kind do.
func (d *Driver) compute(j job, online bool) {
	if online {
		d.loop.online.add(j)
		return
	}
	d.loop.pool.add(j)
}

// computed feeds a result to the engine.
func (d *Driver) computed(r result) {
	if r.panicked != "" {
		d.counts.computePanics.Add(1)
		d.logPanic("a computation panicked", r.panicked)
	}
	d.handle(ike.Computed{ID: r.id, Value: r.value}, r.class)
}
