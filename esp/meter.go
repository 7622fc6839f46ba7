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
