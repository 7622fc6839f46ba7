package budget

import (
	"net/netip"
	"time"
)

// Unprotected bounds what messages outside of every IKE SA can make us do (RFC 7296, Sections 1.5
// and 2.21.4).
type Unprotected struct {
	errors   rate
	answers  sources // to requests of unknown IKE SAs
	tokens   sources // messages with crash tokens
	strays   sources // to ESP with unknown SPIs
	refusals [2]rate // of strangers, and of calls from configured addresses
	hints    rate
	icmp     rate
}

const (
	// maxErrors is the number of unprotected errors that we send in a second at most (RFC 7296,
	// Section 2.21.4, requires a limit).
	maxErrors = 10
	// maxHints is the number of unprotected INVALID_SPI in a second whose SPIs are compared.
	maxHints = 100
	// maxICMP is the number of ICMP errors in a second whose quotes are compared.
	maxICMP = 100
	// MaxRefusals is the number of refused calls in a second that are explained to operators at
	// most, of strangers and of configured addresses each. Comparing with thousands of proposals
	// costs more than the refusal, and each explanation may become a line of the log.
	MaxRefusals = 10
)

// AllowError counts an unprotected error, and reports whether it may be sent.
func (u *Unprotected) AllowError(now time.Time) bool { return u.errors.allow(now, maxErrors) }

// Limits that depend on the source.
var (
	// AnswerLimit bounds the answers to requests of unknown IKE SAs. After a restart each peer
	// sends one.
	AnswerLimit = SourceLimit{Host: 10, Strangers: 200, Known: 1000}
	// TokenLimit bounds the messages whose crash tokens are compared (RFC 6290, Section 8.1).
	TokenLimit = SourceLimit{Host: 10, Strangers: 1000, Known: 1000}
	// InvalidSPILimit bounds the answers to ESP with unknown SPIs.
	InvalidSPILimit = SourceLimit{Host: 2, Strangers: 50, Known: 200}
)

// AllowAnswer counts an answer to a request of an unknown IKE SA, and reports whether it may be
// sent. known reports that the address is that of a peer.
func (u *Unprotected) AllowAnswer(now time.Time, to netip.Addr, known bool) bool {
	return u.answers.allow(now, to, known, AnswerLimit)
}

// AllowInvalidSPI counts an answer to ESP with an unknown SPI, and reports whether it may be sent.
func (u *Unprotected) AllowInvalidSPI(now time.Time, to netip.Addr, known bool) bool {
	return u.strays.allow(now, to, known, InvalidSPILimit)
}

// AllowToken counts a message with crash tokens, and reports whether they may be compared.
func (u *Unprotected) AllowToken(now time.Time, from netip.Addr, known bool) bool {
	return u.tokens.allow(now, from, known, TokenLimit)
}

// AllowHint counts an unprotected INVALID_SPI from a peer's address, and reports whether its SPI
// may be compared with those in use.
func (u *Unprotected) AllowHint(now time.Time) bool { return u.hints.allow(now, maxHints) }

// AllowICMP counts an ICMP error, and reports whether it may be compared with what we send.
func (u *Unprotected) AllowICMP(now time.Time) bool { return u.icmp.allow(now, maxICMP) }

// AllowRefusal counts the explanation of a refused call, from a configured address or a
// stranger's, and reports whether it may be made.
func (u *Unprotected) AllowRefusal(now time.Time, configured bool) bool {
	which := 0
	if configured {
		which = 1
	}
	return u.refusals[which].allow(now, MaxRefusals)
}

// A rate counts events within one second.
type rate struct {
	second time.Time
	count  int
}

// allow counts an event, and reports whether the second has had no more than most.
func (r *rate) allow(now time.Time, most int) bool {
	if now.Sub(r.second) >= time.Second || now.Before(r.second) {
		r.second, r.count = now, 0
	}
	r.count++
	return r.count <= most
}
