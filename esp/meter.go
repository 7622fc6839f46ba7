package esp

import (
	"math"
	"sync/atomic"
)

// A Usage counts the traffic of one direction of an SA: packets, and octets of inner packets.
type Usage struct{ Packets, Octets uint64 }

// thresholds are one direction's lifetimes in traffic. None is zero.
type thresholds struct {
	softOctets, hardOctets   uint64
	softPackets, hardPackets uint64
}

// newThresholds returns the thresholds of limits, for an SA that can carry at most last packets.
// Unless configured, a soft limit lies a sixteenth before each hard one: an SA must be replaced
// before it ends, and without sequence numbers no SA can go on (RFC 4303, Section 3.3.3).
func newThresholds(l Limits, last uint64) thresholds {
	t := thresholds{hardOctets: orMax(l.HardBytes), hardPackets: min(orMax(l.HardPackets), last)}
	t.softOctets = softOf(l.SoftBytes, t.hardOctets)
	t.softPackets = min(softOf(l.SoftPackets, t.hardPackets), softOf(0, last))
	return t
}

// orMax returns limit, or the largest number for zero, which is unlimited.
func orMax(limit uint64) uint64 {
	if limit == 0 {
		return math.MaxUint64
	}
	return limit
}

func softOf(configured, hard uint64) uint64 {
	if configured == 0 {
		return hard - hard/16
	}
	return min(configured, hard)
}

// reached reports whether a count that grew by n to total has just come to limit: true for one call
// only, whatever the number of goroutines that count.
func reached(total, n, limit uint64) bool { return total >= limit && total-n < limit }

// cacheLine is the padding between fields that all workers write and fields that they only read.
const cacheLine = 64

// octetMeter counts octets up to a hard limit.
type octetMeter struct{ octets atomic.Uint64 }

// add counts n, unless that would exceed hard: then it counts nothing. Of callers that race near
// the limit some may be refused that would have fitted; the limit is never exceeded.
func (m *octetMeter) add(n, hard uint64) (total uint64, ok bool) {
	total = m.octets.Add(n)
	if total > hard {
		m.octets.Add(-n)
		return 0, false
	}
	return total, true
}

// A usageCounter counts packets and octets in one word, so that a packet that comes alone changes
// both with one locked instruction. The word is octets + packets<<octetBits, modulo 2^64, and so
// has the low bits of both. near has whole counts of the recent past: of all numbers with those low
// bits, the nearest to it are meant, as a sequence number is completed by the window.
//
// calm has, as a word, the counts up to which there is nothing to do: no limit is reached, and near
// is near. Up to there a packet costs no more than the addition and one comparison.
//
// A goroutine that is held up between the steps of add and settle, while others count 34 GB or 134
// million packets of the same SA, takes the sums for less or more than they are; at 100 Gbit/s
// these are two seconds. The counts stay right even then.
type usageCounter struct {
	word, calm              atomic.Uint64
	nearPackets, nearOctets atomic.Uint64
}

const (
	octetBits  = 36
	packetBits = 64 - octetBits
	// signBits are those of which one is set in the difference of two words if a count of the first
	// is less than that of the second.
	signBits = 1<<63 | 1<<(octetBits-1)

	// near follows when it lags by a sixteenth of the range of the low bits. Up to half of that the
	// nearest is right.
	octetsLag  = 1 << (octetBits - 4)
	packetsLag = 1 << (packetBits - 4)
)

// add adds to the counts, at most octetsLag octets and packetsLag packets. Unless all is calm,
// settle must follow.
func (c *usageCounter) add(packets, octets uint64) (word uint64, calm bool) {
	until := c.calm.Load() // first: a load behind a locked instruction would wait for it
	word = c.word.Add(octets + packets<<octetBits)
	return word, (until-word)&signBits == 0
}

// settle returns the sums of which add returned the word, and moves near, and calm up to the next
// limit or as far as near will do.
//
// No goroutine misses that it has brought a count to a limit. It has read calm before it added, and
// calm is moved past a limit only when the sum has reached it.
func (c *usageCounter) settle(word uint64, l *thresholds) Usage {
	until, near := c.calm.Load(), c.near()
	now := near.nearest(c.word.Load())
	raise(&c.nearOctets, now.Octets)
	raise(&c.nearPackets, now.Packets)
	calm := Usage{
		Packets: calmUntil(now.Packets, l.softPackets, l.hardPackets, packetsLag),
		Octets:  calmUntil(now.Octets, l.softOctets, l.hardOctets, octetsLag),
	}
	c.calm.CompareAndSwap(until, calm.word()) // if not, another goroutine has, after this one has looked
	return near.nearest(word)
}

// calmUntil returns up to which number a count that is at sum reaches no limit, lag ahead at most.
func calmUntil(sum, soft, hard, lag uint64) uint64 {
	limit := hard
	if sum < soft {
		limit = soft - 1
	}
	if limit < sum {
		return sum - 1 // all from now on exceed it
	}
	return sum + min(limit-sum, lag)
}

// load returns the counts.
func (c *usageCounter) load() Usage { return c.near().nearest(c.word.Load()) }

// store sets the counts before their first use.
func (c *usageCounter) store(u Usage) {
	c.nearPackets.Store(u.Packets)
	c.nearOctets.Store(u.Octets)
	c.word.Store(u.word())
	c.calm.Store(u.word())
}

func (c *usageCounter) near() Usage {
	return Usage{Packets: c.nearPackets.Load(), Octets: c.nearOctets.Load()}
}

// word returns the low bits of both counts.
func (u Usage) word() uint64 { return u.Octets + u.Packets<<octetBits }

// nearest returns the counts with the low bits of word that are the nearest to u. Differences are
// shifted up, so that the highest of the low bits is their sign.
func (u Usage) nearest(word uint64) (n Usage) {
	n.Octets = u.Octets + uint64(int64((word-u.Octets)<<packetBits)>>packetBits)
	n.Packets = u.Packets + uint64(int64(word-n.Octets-u.Packets<<octetBits)>>octetBits)
	return n
}

// raise sets a count that is lower to value.
func raise(count *atomic.Uint64, value uint64) {
	for old := count.Load(); old < value && !count.CompareAndSwap(old, value); {
		old = count.Load()
	}
}
