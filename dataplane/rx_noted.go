package dataplane

import "culvert/tun/gso"

// notedWrites are the writes of a batch whose turn to write has not come. What is to be written
// stays where it was received until then.
type notedWrites struct {
	writes []notedWrite
	pieces [][]byte // of all, in their order
}

// notedWrite is one write, with the number of its pieces.
type notedWrite struct {
	pair *pair
	pkt  gso.Packet
	n    int
}

// add notes a write.
func (w *notedWrites) add(c *pair, p *gso.Packet, pieces [][]byte) {
	if w.writes == nil {
		w.writes, w.pieces = make([]notedWrite, 0, maxRxBatch), make([][]byte, 0, maxRxBatch)
	}
	w.writes = append(w.writes, notedWrite{c, *p, len(pieces)})
	w.pieces = append(w.pieces, pieces...)
}

// clear forgets all. No SA that was removed is kept alive.
func (w *notedWrites) clear() {
	clear(w.writes)
	clear(w.pieces)
	w.writes, w.pieces = w.writes[:0], w.pieces[:0]
}

// writeNoted writes what was noted. The turn has come.
func (r *rx) writeNoted() {
	pieces := r.noted.pieces
	for i := range r.noted.writes {
		w := &r.noted.writes[i]
		r.write(w.pair, &w.pkt, pieces[:w.n])
		pieces = pieces[w.n:]
	}
	r.noted.clear()
}
