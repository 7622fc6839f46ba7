package verdict

import (
	"fmt"
	"strings"
	"time"
)

// The codes of verdicts on a peer that does not answer, or is not connected.
const (
	Unreachable Code = "unreachable"
	PortSilent  Code = "port-4500-silent"
	NoAnswer    Code = "no-answer"
	AuthSilent  Code = "auth-silent"
	Refused     Code = "refused"
	BegunOnly   Code = "begun-only"
	NobodyCalls Code = "nobody-calls"
	InDoubt     Code = "in-doubt"
)

const (
	// askedEnough is how often a request is sent before silence is a verdict, or for how long: the
	// first repetitions come after about half a second, one second and two.
	askedEnough = 3
	askedFor    = 3 * time.Second
	// begunFor is for how long somebody has begun to connect before it is said that it does not go
	// on. A slow computation may take a second.
	begunFor = 2 * time.Second
)

// enough reports whether an answer to the request should have come by now.
func (a *Asked) enough(now time.Time) bool {
	return a.Times >= askedEnough || a.Times > 1 && now.Sub(a.Since) >= askedFor
}

// sent describes how often a request was sent.
func (p *Peer) sent() string {
	return fmt.Sprintf("%s was sent %s in %s", p.Asked.Message, times(p.Asked.Times), span(p.Now.Sub(p.Asked.Since)))
}

// unreachable: the way to the peer is closed, as this host or an ICMP error says.
func unreachable(p *Peer) Verdict {
	if p.Unreachable == "" {
		return Verdict{}
	}
	text, remedy, _ := strings.Cut(p.Unreachable, "; ")
	return Verdict{Code: Unreachable, Level: badUnlessUp(p), Text: text, Remedy: remedy}
}

// portSilent: the peer answers at UDP port 500, and not at 4500, to which NAT detection leads.
func portSilent(p *Peer) Verdict {
	if p.Up || !p.Asked.PortChanged || !p.Asked.enough(p.Now) {
		return Verdict{}
	}
	to := p.Asked.To
	return Verdict{
		Code: PortSilent, Level: Bad,
		Text:   fmt.Sprintf("%s answers IKE_SA_INIT, but not at UDP port %d: %s there", to.Addr(), to.Port(), p.sent()),
		Remedy: fmt.Sprintf("let UDP port %d pass in both directions, on this host, on the way and at the peer", to.Port()),
	}
}

// noAnswer: nothing ever came.
func noAnswer(p *Peer) Verdict {
	if p.Up || p.Asked.Message != initMessage || !p.Asked.enough(p.Now) {
		return Verdict{}
	}
	to := p.Asked.To
	return Verdict{
		Code: NoAnswer, Level: Bad,
		Text:   fmt.Sprintf("no answer from %s: %s to UDP port %d", to.Addr(), p.sent(), to.Port()),
		Remedy: fmt.Sprintf("is the peer on, is %s its address, and does UDP port %d pass in both directions?", to.Addr(), to.Port()),
	}
}

const (
	initMessage = "IKE_SA_INIT"
	authMessage = "IKE_AUTH"
)

// authSilent: IKE_SA_INIT was answered, and IKE_AUTH at the same port is not.
func authSilent(p *Peer) Verdict {
	if p.Up || p.Asked.Message != authMessage || p.Asked.PortChanged || !p.Asked.enough(p.Now) {
		return Verdict{}
	}
	return Verdict{
		Code: AuthSilent, Level: Bad,
		Text:   fmt.Sprintf("%s answers IKE_SA_INIT, but not IKE_AUTH: %s", p.Asked.To, p.sent()),
		Remedy: `the peer drops what it cannot read, so see its log; large messages may be lost on the way, which a smaller "fragment" avoids`,
	}
}

// refused: the peer answered, and the tunnel failed for the reason that was found.
func refused(p *Peer) Verdict {
	if p.Up || p.Held || p.Failed == "" || p.Asked.Times > 0 {
		return Verdict{}
	}
	level := Bad
	if !p.Wanted {
		level = Note // of the last time
	}
	return Verdict{Code: Refused, Level: level, Text: p.Failed, Remedy: offered(p.Offers)}
}

// maxOffers bounds the lines of offers that a verdict has.
const maxOffers = 2

// offered puts what both sides offered into a sentence.
func offered(lines []string) string { return strings.Join(lines[:min(len(lines), maxOffers)], "; ") }

// begun: somebody at the peer's address gets our answer to IKE_SA_INIT, or not, and does not go on.
func begun(p *Peer) Verdict {
	if p.Up || p.Begun.Times == 0 || p.Now.Sub(p.Begun.Since) < begunFor {
		return Verdict{}
	}
	return Verdict{
		Code: BegunOnly, Level: Bad,
		Text: fmt.Sprintf("IKE_SA_INIT came %s from the peer's address within %s, was answered, and no IKE_AUTH followed",
			times(p.Begun.Times), span(p.Now.Sub(p.Begun.Since))),
		Remedy: "let UDP port 4500 pass in both directions, as IKE_AUTH goes there; if it does, our answers do not reach the peer",
	}
}

// nobodyCalls: this side waits to be called, and is not.
func nobodyCalls(p *Peer) Verdict {
	if p.Up || p.Held || p.Manual || p.Calls || p.Begun.Times > 0 || len(p.Established) > 0 {
		return Verdict{}
	}
	level := Note // it may be what it is there for
	if p.Wanted {
		level = Bad
	}
	return Verdict{
		Code: NobodyCalls, Level: level,
		Text:   "the peer has not called, and no remote address is configured to call it: if it waits as well, neither side calls",
		Remedy: "give remote on one side at least",
	}
}

// doubt: the peer does not answer on the IKE SA that there is.
func doubt(p *Peer) Verdict {
	if !p.Up || p.Asked.Times < 2 {
		return Verdict{}
	}
	text := fmt.Sprintf("in doubt: %s without an answer", p.sent())
	if !p.Heard.IsZero() {
		text += fmt.Sprintf("; the peer was last heard %s ago", span(p.Now.Sub(p.Heard)))
	}
	return Verdict{Code: InDoubt, Level: Warn, Text: text, Remedy: "it is given up and called again if it stays silent; is it still on, and has its address or the way changed?"}
}

// badUnlessUp returns the level of what keeps a tunnel from coming up, and may leave one that is
// up.
func badUnlessUp(p *Peer) Level {
	if p.Up {
		return Warn
	}
	return Bad
}

// times returns a number of times in words.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// span returns a duration rounded to seconds, in one or two units.
func span(d time.Duration) string {
	s := int(max(d, 0).Round(time.Second).Seconds())
	switch {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 2*3600:
		return fmt.Sprintf("%d min", s/60)
	}
	return fmt.Sprintf("%d h", s/3600)
}
