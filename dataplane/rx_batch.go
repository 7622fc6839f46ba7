package dataplane

import (
	"errors"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// maxRxBatch is the most packets that are opened together: twice what netio aims at for a burst,
// which is as many as UDP_GRO brings at once.
const maxRxBatch = 128

// rxBatch is what one receive brought: datagrams of one sender, or a burst of several; ESP of any
// SAs, opened where it lies. Its place is that among what came to the same port.
type rxBatch struct {
	rxPlace
	stage   batchStage
	since   int64 // when its turn was first missed; 0: it was not
	n       int
	packets [maxRxBatch]esp.Packet
	used    int // of runs; those behind are zero, so that none keeps an SA alive that was removed
	runs    [maxRxBatch]rxRun
	// sameOuter is set if the last run has the outer header of the datagrams that are being added:
	// they share it, so it is compared once for all of them.
	sameOuter bool
}

// batchStage is what was done with a batch that is not finished because a turn has not come.
type batchStage uint8

const (
	finished  batchStage = iota
	decrypted            // it is to be accepted
	gathered             // its writes are noted
)

// rxRun is consecutive packets of a batch for one SA with the same outer header: little more than
// the decryption is then done for each of them.
type rxRun struct {
	pair    *pair
	path    ipsec.Path
	tos     uint8 // outer
	packets []esp.Packet
}

// inbound adds what was received to the batch.
func (r *rx) inbound(in *netio.Received) {
	data, size := in.Data, in.SegSize
	if size <= 0 {
		size = len(data)
	}
	b := &r.batch
	b.sameOuter = b.used > 0 && b.runs[b.used-1].path == in.Path && b.runs[b.used-1].tos == in.TOS
	for len(data) > 0 {
		n := min(size, len(data))
		r.arrived(data[:n:n], in)
		data = data[n:]
	}
}

// arrived adds one datagram to the run of its SA (RFC 4301, Section 5.2, step 3a).
func (r *rx) arrived(pkt []byte, in *netio.Received) {
	spi, ok := esp.SPI(pkt)
	if !ok {
		r.tally.add(dropShort, 1)
		return
	}
	b := &r.batch
	if b.n == maxRxBatch {
		r.openBatch(false)
	}
	if b.used == 0 || !b.sameOuter || b.runs[b.used-1].pair.sa.SPIIn != spi {
		c := r.ahead.find(r.plane.sad, spi)
		if c == nil {
			if c = r.early(spi, pkt, in); c == nil {
				return
			}
		}
		b.runs[b.used] = rxRun{pair: c, path: in.Path, tos: in.TOS, packets: b.packets[b.n:b.n]}
		b.used++
		b.sameOuter = true
	}
	run := &b.runs[b.used-1]
	run.packets = append(run.packets, esp.Packet{Data: pkt})
	b.n++
}

// openBatch opens the batch and delivers its packets (RFC 4301, Section 5.2; RFC 4303, Section
// 3.4), at least as far as its turns have come: everything but the decryption comes after the
// batches before, whichever worker opens them. last means that the receive brought no more.
func (r *rx) openBatch(last bool) {
	b := &r.batch
	if last && b.alone() {
		for i := range b.runs[:b.used] {
			run := &b.runs[i]
			r.arrival(run, run.pair.in.Open(&r.scratch, run.packets))
		}
		r.accepted()
		r.proceed()
		return
	}
	for i := range b.runs[:b.used] {
		run := &b.runs[i]
		for k := range run.packets {
			run.pair.in.Decrypt(&r.scratch, &run.packets[k])
		}
	}
	if last {
		b.stage = decrypted
		r.proceed()
		return
	}
	b.awaitAccept()
	r.acceptRuns()
	r.passRuns()
}

// proceed does what the turns of the batch allow, and reports whether the batch is finished.
func (r *rx) proceed() bool {
	b := &r.batch
	if b.stage == decrypted {
		if !b.mayAccept() {
			return r.missed()
		}
		r.acceptRuns()
		r.accepted()
	}
	if b.stage == gathered {
		if !b.mayWriteSoon() {
			return r.missed()
		}
		if len(r.noted.writes) > 0 {
			r.writeNoted()
		}
		b.passWrite()
		b.stage, b.since = finished, 0
	}
	return true
}

// accepted delivers the batch, whose runs are accepted.
func (r *rx) accepted() {
	r.batch.passAccept()
	r.passRuns()
	r.gather.Flush()
	r.batch.stage = gathered
}

// acceptRuns accepts the runs of the batch.
func (r *rx) acceptRuns() {
	for i := range r.batch.runs[:r.batch.used] {
		run := &r.batch.runs[i]
		r.arrival(run, run.pair.in.Accept(run.packets))
	}
}

// passRuns delivers the runs of the batch, and empties it.
func (r *rx) passRuns() {
	b := &r.batch
	runs := b.runs[:b.used]
	b.n, b.used = 0, 0 // before anything that could panic
	for i := range runs {
		r.pass(&runs[i])
		runs[i] = rxRun{}
	}
}

// arrival notes what a run meant to its SA, and tells the SA's events.
func (r *rx) arrival(run *rxRun, a esp.Arrival) {
	c := run.pair
	if a.Authentic {
		r.plane.authentic(c, &run.path, a.Newest, r.now)
		c.lastIn.set(r.nowNano)
	}
	if a.Soft {
		r.plane.expireSoft(c)
	}
	if a.Hard {
		r.plane.expireHard(c)
	}
}

// pass delivers those packets of a run that were accepted.
func (r *rx) pass(run *rxRun) {
	x := &r.packet
	x.sa, x.tos = run.pair, run.tos
	if h := run.pair.sa.hosts; h != nil {
		x.far = h.far(&run.path)
	}
	for i := range run.packets {
		if p := &run.packets[i]; p.Err == nil {
			x.esp = p
			r.deliver(x)
		} else if errors.Is(p.Err, esp.ErrDummy) {
			r.takeDummy(run.pair, p.Data)
		} else {
			r.drop(run.pair, refusal(p.Err))
		}
	}
	x.sa, x.esp = nil, nil // keeps no SA alive that was removed
}

// refusal returns the reason under which a packet that was not accepted is counted.
func refusal(err error) reason {
	switch {
	case errors.Is(err, esp.ErrReplay):
		return dropReplay
	case errors.Is(err, esp.ErrICV):
		return dropICV
	case errors.Is(err, esp.ErrExhausted):
		return dropExpired
	}
	return dropShort
}

// lookAhead is the SAs of the messages of a burst, each by the first datagram of the message. With
// many peers at the same time an SA comes from memory, not from a cache: looked up together, the
// SAs of a burst come at once, not one after another with the work for a packet in between.
type lookAhead struct {
	n      int // messages; 0: nothing was looked up
	at     int // the message in hand
	spis   [maxReceives]uint32
	pairs  [maxReceives]*pair        // nil: none has the SPI
	sas    [maxReceives]*esp.Inbound // of fetch
	loaded uint64                    // keeps the loads of fetch from being left out
}

// look looks the SAs of messages up.
func (l *lookAhead) look(s *sad, in []netio.Received) {
	l.n = len(in)
	for i := range in {
		l.spis[i] = 0 // no SA has it
		if in[i].Kind == netio.ESP {
			l.spis[i], _ = esp.SPI(in[i].Data)
		}
	}
	s.findAll(l.spis[:l.n], l.pairs[:l.n])
	if s.size() >= fetchFrom {
		l.fetch()
	}
}

// fetchFrom is the size of the SAD from which on it has more SAs, about a thousand, than a core's
// cache holds with what their packets need.
const fetchFrom = 4 * sadChunkSlots

// fetch loads what carrying the messages will read of their SAs, for all of them at once. What the
// first loop reads is needed by the second.
func (l *lookAhead) fetch() {
	list := l.sas[:0]
	var last *pair
	for _, p := range l.pairs[:l.n] {
		if p != nil && p != last && p.in != nil {
			l.loaded += uint64(p.lastIn.Load())
			list = append(list, p.in)
		}
		last = p
	}
	for _, p := range l.pairs[:l.n] {
		if p == nil {
			continue
		}
		l.loaded += firstPort(p.sa.LocalTS) + firstPort(p.sa.RemoteTS)
		if to := p.outer.Load(); to != nil {
			l.loaded += uint64(to.Remote().Port())
		}
	}
	l.loaded += esp.Fetch(list)
	clear(list)
}

// firstPort reads the first selector.
func firstPort(list []selector.Selector) uint64 {
	if len(list) == 0 {
		return 0
	}
	return uint64(list[0].StartPort)
}

// find returns the pair of an SPI of the message in hand, or nil.
func (l *lookAhead) find(s *sad, spi uint32) *pair {
	if l.n > 0 && l.spis[l.at] == spi {
		return l.pairs[l.at]
	}
	return s.find(spi)
}

// forget ends the burst. No SA that was removed is kept alive.
func (l *lookAhead) forget() {
	clear(l.pairs[:l.n])
	l.n = 0
}
