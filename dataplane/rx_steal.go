package dataplane

import "culvert/dataplane/turnstile"

// stealBatches is the number of batches that a worker steals before it looks at its own port.
const stealBatches = 4

// steal carries packets that came to a worker with a backlog.
func (r *rx) steal() progress {
	if !r.order.shared {
		return wasDry
	}
	workers := r.plane.workers
	for i := range workers {
		o := workers[(r.index+i)%len(workers)].rx.order
		if o != r.order && o.behind.Load() && r.stealFrom(o) {
			return leftMore
		}
	}
	return wasDry
}

// stealFrom carries a few batches of o. It reports whether there may be more.
func (r *rx) stealFrom(o *rxOrder) (busy bool) {
	for range stealBatches {
		_, err := r.carry(o)
		switch err {
		case nil:
			o.stolen.Add(1)
			r.tally.add(countStolen, 1)
			busy = true
		case errTaken:
			turnstile.Yield()
			return true
		default: // dry; or an error for the owner to see
			o.behind.Store(false)
			return busy
		}
	}
	return busy
}
