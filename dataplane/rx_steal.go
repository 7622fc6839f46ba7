package dataplane

import "culvert/dataplane/turnstile"

// stealFrom carries a few batches of o. It returns leftMore if there were as many as it may take at
// once, and wasDry if there was none.
func (r *rx) stealFrom(o *rxOrder) progress {
	for n := range stealBatches {
		_, err := r.carry(o)
		switch err {
		case nil:
			o.stolen.Add(1)
			r.tally.add(countStolen, 1)
		case errTaken:
			turnstile.Yield()
			return hasRun
		default: // dry; or an error for the owner to see
			o.behind.Store(false)
			return ranDry(n)
		}
	}
	return leftMore
}
