package driver

// maxOnline bounds the computations that wait for the network at a time. Each has at most the time
// that an IKE SA may be half open.
const maxOnline = 32

// online holds the computations that wait for the network, such as for whether a certificate was
// revoked. They have goroutines of their own, so that one that takes seconds holds up no other
// computation, and only peers that have proved their identity cause them. It belongs to the control
// goroutine.
type online struct {
	waiting []job
	running int
	results chan result
	done    chan struct{} // closed at the end of Run, which does not wait for them
}

func newOnline() online {
	return online{results: make(chan result), done: make(chan struct{})}
}

// add starts a job, at once or when one of those before it has ended.
func (o *online) add(j job) {
	o.waiting = append(o.waiting, j)
	o.next()
}

// ended takes the result of a job to be followed by the next one.
func (o *online) ended() {
	o.running--
	o.next()
}

// next starts the jobs that may run.
func (o *online) next() {
	for o.running < maxOnline && len(o.waiting) > 0 {
		j := o.waiting[0]
		o.waiting[0] = job{}
		if o.waiting = o.waiting[1:]; len(o.waiting) == 0 {
			o.waiting = nil
		}
		o.running++
		go func() {
			r := runJob(j)
			select {
			case o.results <- r:
			case <-o.done:
			}
		}()
	}
}

// stop has the goroutines that still run end without a result.
func (o *online) stop() { close(o.done) }
