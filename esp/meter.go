package esp

import (
	"math"
	"sync/atomic"
)

// Usage is what went through one direction of an SA: packets, and octets of inner packets.
type Usage struct{ Packets, Octets uint64 }

// thresholds are one direction's lifetimes on the wire, with no zeroes left.
type thresholds struct {
	softOctets, hardOctets   uint64
	softPackets, hardPackets uint64
}

// newThresholds makes thresholds of limits for an SA that can carry at most last packets. Before each hard limit there is a soft one, a sixteenth of it unless configured: an SA
// that cannot go on is to be replaced in time, and without sequence numbers no SA can (RFC 4303, Section 3.3.3).
func newThresholds(l Limits, last uint64) thresholds {
	t := thresholds{hardOctets: orMax(l.HardBytes), hardPackets: min(orMax(l.HardPackets), last)}
	t.softOctets = softOf(l.SoftBytes, t.hardOctets)
	t.softPackets = min(softOf(l.SoftPackets, t.hardPackets), softOf(0, last))
	return t
}

// orMax makes "no limit" a limit that nothing reaches.
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

// reached says whether a count that grew by n to total has just come to limit: true for one call only, however many goroutines count.
func reached(total, n, limit uint64) bool { return total >= limit && total-n < limit }

// cacheLine keeps what all workers write away from what they only read.
const cacheLine = 64

// octetMeter counts octets up to a hard limit.
type octetMeter struct{ octets atomic.Uint64 }

// add counts n, unless that would go over hard: then nothing is counted. Of callers that race near the limit some may be refused that would have fitted; never are too many let through.
func (m *octetMeter) add(n, hard uint64) (total uint64, ok bool) {
	total = m.octets.Add(n)
	if total > hard {
		m.octets.Add(-n)
		return 0, false
	}
	return total, true
}
