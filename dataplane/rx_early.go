package dataplane

import (
	"bytes"
	"sync"
	"time"

	"culvert/dataplane/netio"
)

// A peer may send on a new SA as soon as it has answered our request, and its first packets may be
// here before that answer is understood, or read at all. Their SPI is one that was handed out by
// AllocSPI and is not installed. They wait, as they came, for InstallInbound, and are then received
// like any others: nothing is decrypted or let in before, and every check follows.
//
//	worker   find(spi): none, but reserved --> copy into the queue
//	control  InstallInbound --> the SA is live, the copies go into the worker's mailbox
//	worker   next look at the mailbox --> receive them, in order
//
// Only someone who knows a reserved SPI can have packets kept. Our SPI travels encrypted, so that
// is the peer, or somebody on the way who has seen a packet of it, and what is kept of an SPI takes
// nothing from others.
const (
	earlyPackets   = 32 // of one SPI
	earlyOctets    = 64 << 10
	earlyAllOctets = 1 << 20 // of all SPIs
	earlyOverhead  = 256     // octets that a packet counts in addition
	earlyFor       = time.Second
)

// earlyPacket is a copy of a datagram with a reserved SPI.
type earlyPacket struct {
	datagram netio.Received
	port     int // of the worker it came to
	since    time.Time
}

// earlyQueue keeps ESP that came before its SA. Its lock is never taken for packets of SAs that
// exist, nor for those whose SPI is not reserved.
type earlyQueue struct {
	mu     sync.Mutex
	octets int
	spis   map[uint32][]earlyPacket
}

// early handles a datagram for whose SPI there was no SA. It returns the SA if one was installed
// meanwhile, and otherwise nil: the datagram is then kept, or counted.
func (r *rx) early(spi uint32, pkt []byte, in *netio.Received) *pair {
	p := r.plane
	if !p.sad.isReserved(spi) {
		r.unknownSPI(spi, len(pkt), &in.Path)
		return nil
	}
	r.batch.awaitAccept() // those of the batches before are kept before
	q := &p.earlies
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := p.sad.find(spi); c != nil { // what is kept of it goes, or went, into the mailbox
		return c
	}
	if !p.sad.isReserved(spi) { // it was given back
		r.unknownSPI(spi, len(pkt), &in.Path)
		return nil
	}
	r.tally.add(dropEarly, q.expire(spi, r.now))
	if q.keep(spi, pkt, in, r.batch.order.owner.index, r.now) {
		r.tally.add(countEarly, 1)
	} else {
		r.tally.add(dropEarly, 1)
	}
	return nil
}

// keep takes a copy of a datagram, if there is room. q.mu is held.
func (q *earlyQueue) keep(spi uint32, pkt []byte, in *netio.Received, port int, now time.Time) bool {
	size := len(pkt) + earlyOverhead
	list := q.spis[spi]
	if len(list) >= earlyPackets || octetsOf(list)+size > earlyOctets || q.octets+size > earlyAllOctets {
		return false
	}
	c := earlyPacket{datagram: *in, port: port, since: now}
	c.datagram.Data, c.datagram.SegSize, c.datagram.More = bytes.Clone(pkt), 0, false
	q.spis[spi] = append(list, c)
	q.octets += size
	return true
}

func octetsOf(list []earlyPacket) (octets int) {
	for i := range list {
		octets += len(list[i].datagram.Data) + earlyOverhead
	}
	return octets
}

// expire drops the packets of an SPI that have waited too long, and returns their number. q.mu is
// held.
func (q *earlyQueue) expire(spi uint32, now time.Time) (dropped int) {
	list := q.spis[spi]
	for dropped < len(list) && now.Sub(list[dropped].since) >= earlyFor {
		dropped++
	}
	q.octets -= octetsOf(list[:dropped])
	if dropped == len(list) {
		delete(q.spis, spi)
	} else {
		q.spis[spi] = list[dropped:]
	}
	return dropped
}

// take removes and returns the packets of an SPI. q.mu is held.
func (q *earlyQueue) take(spi uint32) []earlyPacket {
	list := q.spis[spi]
	q.octets -= octetsOf(list)
	delete(q.spis, spi)
	return list
}

// earliesArrived hands the packets of an SPI, whose SA is live by now, to the worker that they came
// to: the next ones come to it as well, and it receives these first.
func (p *Plane) earliesArrived(spi uint32) {
	q := &p.earlies
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped := q.expire(spi, p.cfg.Now())
	if list := q.take(spi); len(list) > 0 {
		dropped += len(list) - p.workers[list[len(list)-1].port].mail.putEarly(list)
	}
	p.tally.add(dropEarly, dropped)
}

// earliesLost drops the packets of an SPI that was given back.
func (p *Plane) earliesLost(spi uint32) {
	p.earlies.mu.Lock()
	defer p.earlies.mu.Unlock()
	p.tally.add(dropEarly, len(p.earlies.take(spi)))
}

// tickEarlies drops the packets that have waited too long.
func (p *Plane) tickEarlies(now time.Time) {
	p.earlies.mu.Lock()
	defer p.earlies.mu.Unlock()
	for spi := range p.earlies.spis {
		p.tally.add(dropEarly, p.earlies.expire(spi, now))
	}
}
