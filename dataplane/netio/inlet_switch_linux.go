package netio

import "time"

// drainMost is how long the inlet waits for the workers to take what is in the rings.
const drainMost = 100 * time.Millisecond

// takes reports whether packets are taken.
func (i *inlet) takes() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.table != nil
}

// rings are those of all workers that have one.
func (i *inlet) rings() (list []*ring) {
	for _, p := range i.net.ports {
		if r := p.ring.Load(); r != nil {
			list = append(list, r)
		}
	}
	return list
}

// wait waits until ok holds for all rings, and reports whether it does.
func (i *inlet) wait(ok func(*ring) bool) bool {
	rings := i.rings()
	for end := time.Now().Add(drainMost); ; time.Sleep(time.Millisecond) {
		for len(rings) > 0 && ok(rings[0]) {
			rings = rings[1:]
		}
		if len(rings) == 0 || time.Now().After(end) {
			return len(rings) == 0
		}
	}
}

// begin has packets taken, if the rings are empty: a worker that is held up does not take what was
// in one before.
func (i *inlet) begin() {
	if i.takes() || !i.wait(func(r *ring) bool { return !r.waits() }) {
		return
	}
	i.mu.Lock()
	for _, r := range i.rings() {
		r.turn.Store(ringDue)
	}
	i.table = i.maps.table
	i.know()
	i.mu.Unlock()
	i.serve()
	i.net.hops.dropAll()
}

// end has no more packets taken, and none sent past the IP stack. What is in the rings comes first.
func (i *inlet) end() {
	i.mu.Lock()
	table := i.table
	i.table = nil
	i.mu.Unlock()
	if table == nil {
		return
	}
	i.net.hops.dropAll()
	// What is in a ring that is due is newer than the sockets' packets. Workers soon see to it.
	i.wait(func(r *ring) bool { return r.turn.Load() != ringDue || !r.waits() })
	for _, r := range i.rings() {
		r.turn.Store(ringLeads)
	}
	table.clear()
}

// clear forgets all SPIs.
func (t spiTable) clear() {
	for n := range uint32(knownSlots) {
		t.place(n).Store(0)
	}
}
