package netio

// All SAs whose packets come to a worker share the receive buffer of its socket, or its ring. One
// that brings more than the worker can open keeps that full, and the kernel drops the newest
// packets, whosever they are. Therefore the SAs with the most traffic through a buffer that stays
// half full are shed from: a filter of the socket or the ring's program, which run before a packet
// takes room, drop a part of their packets at random. The part grows until the buffer empties,
// shrinks when it is less than a quarter full, and is nothing when it is empty:
//
//	arrives:   | A A A B A A A C A A A ...
//	filter:    |   A   B     A C   A           A brings most: of its packets more and more go
//	buffer:    | A B A C A                     is not full: B and C lose none
//
// What is shed would mostly have been dropped. An SA that is alone is left alone.
const (
	shedLook  = 4  // the fill is checked each time this fraction of the buffer was received
	shedHalf  = 2  // above this fraction more is shed,
	shedFalls = 64 // unless the fill has fallen by this fraction since the last look
	shedEmpty = 4  // below this fraction less is shed

	maxShed = 4 // SAs at a time
)

// shedding is what a buffer sheds, and the SAs of its traffic. It belongs to whoever receives. What
// room is, is the buffer's own: octets of a socket's, slots of a ring.
type shedding struct {
	size  int  // of the buffer
	seen  int  // the room of what came since the last look
	fill  int  // at the last look
	alarm bool // the buffer was half full then: what comes is counted

	spis [maxHeavy]shedSPI // counted
	n    int

	shed []shedSPI // from which packets are shed
}

// A shedSPI is an SA's SPI with the room of its traffic since the last look, or with the part that
// is kept of its packets.
type shedSPI struct {
	spi  uint32
	room int
	keep uint32 // of 1<<32
}

// due counts what was received, and reports whether to look at the fill.
func (d *shedding) due(room int) bool {
	if d.seen += room; d.seen < d.size/shedLook {
		return false
	}
	d.seen = 0
	return true
}

// note counts the room that a packet of an SPI took. The smallest count makes room and is
// inherited: one with more than an eighth of the traffic is never missed.
func (d *shedding) note(spi uint32, room int) {
	least := &d.spis[0]
	for i := range d.spis[:d.n] {
		c := &d.spis[i]
		if c.spi == spi {
			c.room += room
			return
		}
		if c.room < least.room {
			least = c
		}
	}
	if d.n < maxHeavy {
		least = &d.spis[d.n]
		d.n++
	}
	least.spi, least.room = spi, least.room+room
}

// look sheds more or less, by the fill of the buffer. It reports whether more, and whether anything
// is shed otherwise than before.
func (d *shedding) look(fill int) (more, changed bool) {
	less := false
	switch {
	case fill > d.size/shedHalf && d.alarm && fill >= d.fill-d.size/shedFalls:
		more = d.more()
	case fill < d.size/shedEmpty:
		less = d.less()
	}
	d.fill, d.alarm = fill, fill > d.size/shedHalf
	d.n, d.spis = 0, [maxHeavy]shedSPI{}
	return more, more || less
}

// more sheds more from the SA that brings most, counting what of it was shed already. It reports
// false if there is none that brings much more than the others.
func (d *shedding) more() bool {
	most, offered, sum := shedSPI{}, 0, 0
	for _, c := range d.spis[:d.n] {
		c.keep = d.kept(c.spi)
		n := int(uint64(c.room) << 32 / (uint64(c.keep) + 1))
		if sum += n; n > offered {
			most, offered = c, n
		}
	}
	if d.n < 2 || offered*d.n < 2*sum && offered <= sum/2 {
		return false
	}
	for i := range d.shed {
		if d.shed[i].spi == most.spi {
			d.shed[i].keep -= d.shed[i].keep / 3
			return true
		}
	}
	if len(d.shed) == maxShed {
		return false
	}
	d.shed = append(d.shed, shedSPI{spi: most.spi, keep: 1 << 31})
	return true
}

// kept returns the part that is kept of an SPI's packets.
func (d *shedding) kept(spi uint32) uint32 {
	for _, c := range d.shed {
		if c.spi == spi {
			return c.keep
		}
	}
	return 1<<32 - 1
}

// less sheds less, and reports whether anything was shed.
func (d *shedding) less() bool {
	changed := len(d.shed) > 0
	left := d.shed[:0]
	for _, c := range d.shed {
		if more := c.keep/4 + 1<<20; c.keep < 1<<32-1-more {
			c.keep += more
			left = append(left, c)
		}
	}
	d.shed = left
	return changed
}

// end ends the shedding, as the buffer is empty, and reports whether anything was shed. When a
// flood is over, too little may come of its SA to be received and looked at.
func (d *shedding) end() bool {
	if len(d.shed) == 0 {
		return false
	}
	d.shed, d.alarm = d.shed[:0], false
	return true
}
