package timer

import (
	"cmp"
	"encoding/binary"
	"io"
	"time"
)

// The default back-off between failed attempts to bring something up.
const (
	ReconnectFirst = 2 * time.Second
	ReconnectMax   = time.Minute
)

// A Backoff is the pauses between failed attempts: First, then twice as long each time, up to Max.
// Fields that are zero are ReconnectFirst and ReconnectMax.
type Backoff struct{ First, Max time.Duration }

// Pause returns the time before the next attempt after this many failures in a row. Up to a tenth
// of jitter is added.
func (b Backoff) Pause(failures int, rand io.Reader) time.Duration {
	d, most := cmp.Or(b.First, ReconnectFirst), cmp.Or(b.Max, ReconnectMax)
	for n := 1; n < failures && d < most; n++ {
		d *= 2
	}
	return Longer(min(d, most), rand)
}

// TemporaryPause is the least wait before a request answered with TEMPORARY_FAILURE is tried again:
// "it MUST NOT immediately retry the operation [...] The recipient MAY retry the request one or
// more times over a period of several minutes" (RFC 7296, Section 2.25).
const TemporaryPause = 2 * time.Second

// MostTemporaryWait bounds TemporaryWait and IKETemporaryWait.
const MostTemporaryWait = 3 * TemporaryPause

// TemporaryWait returns the wait before a refused request for a Child SA is tried again:
// TemporaryPause plus up to half of it. Refusals come in pairs where one side rekeys the IKE SA and
// the other one a Child SA, since each is busy with what the other one refuses. The Child SA comes
// first then: it is over before IKETemporaryWait ends, so that both do not collide again.
func TemporaryWait(rand io.Reader) time.Duration {
	return TemporaryPause + Fraction(TemporaryPause/2, rand)
}

// IKETemporaryWait returns the wait before a refused rekeying of an IKE SA is tried again:
// MostTemporaryWait less up to half of TemporaryPause, which is at least TemporaryPause longer than
// any TemporaryWait.
func IKETemporaryWait(rand io.Reader) time.Duration {
	return MostTemporaryWait - TemporaryPause/2 + Fraction(TemporaryPause/2, rand)
}

// Longer returns d plus up to a tenth of it.
func Longer(d time.Duration, rand io.Reader) time.Duration { return d + Fraction(d/10, rand) }

// Fraction returns a random duration in [0, d]. Without randomness it returns d: rather late than
// in step.
func Fraction(d time.Duration, rand io.Reader) time.Duration {
	var b [8]byte
	if d <= 0 {
		return 0
	}
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return d
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d+1))
}

// promptSpread spreads attempts that start at once, so that the peers of a gateway that went down
// do not call in step.
const promptSpread = 100 * time.Millisecond

// PromptPause returns the time before the first attempt after a loss, at most 0.1 s.
func PromptPause(rand io.Reader) time.Duration { return Fraction(promptSpread, rand) }
