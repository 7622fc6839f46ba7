package verdict

import (
	"fmt"
	"time"
)

// The codes of verdicts on how a tunnel lives.
const (
	Churns       Code = "churns"
	Restarted    Code = "peer-restarted"
	ChildDown    Code = "child-down"
	RekeyRefused Code = "rekey-refused"
)

const (
	// A peer churns if it was connected this many times within a span. A reauthentication in place
	// of an IKE SA that is up counts as well, and comes once an hour or so.
	churnTimes, churnSpan = 5, 10 * time.Minute
	restartedFor          = 10 * time.Minute
	// refusedFor is how long a refused rekeying is told of: longer than a usual lifetime of a Child
	// SA, after which there is news of it.
	refusedFor = 2 * time.Hour
)

// churns: the tunnel comes up, and goes again.
func churns(p *Peer) Verdict {
	n := 0
	var first time.Time
	for _, at := range p.Established {
		if p.Now.Sub(at) > churnSpan {
			continue
		}
		if n++; n == 1 {
			first = at
		}
	}
	if n < churnTimes {
		return Verdict{}
	}
	text := fmt.Sprintf("it was connected %s within %s", times(n), span(p.Now.Sub(first)))
	if p.Failed != "" {
		text += "; the last end: " + p.Failed
	}
	return Verdict{Code: Churns, Level: Warn, Text: text, Remedy: "see its events: who deletes it, and why; two hosts with one identity take it from each other"}
}

// restarted: the peer lost its state.
func restarted(p *Peer) Verdict {
	if p.Restarted.IsZero() || p.Now.Sub(p.Restarted) > restartedFor {
		return Verdict{}
	}
	return Verdict{Code: Restarted, Level: Note, Text: fmt.Sprintf("the peer was restarted %s ago, and had lost its SAs", span(p.Now.Sub(p.Restarted)))}
}

// childDown: the peer is up, and a child is not, for a reason.
func childDown(p *Peer, c *Child) Verdict {
	if !p.Up || c.Up || c.Failed == "" {
		return Verdict{}
	}
	level := Note // of the last time
	if c.Wanted {
		level = Bad
	}
	return Verdict{Code: ChildDown, Level: level, Text: c.Failed, Remedy: offered(c.Offers)}
}

// refusedLately: the peer refused a rekeying, and the tunnel was made again in its place.
func refusedLately(p *Peer) Verdict {
	if p.RekeyRefused == "" || p.Now.Sub(p.RekeyRefusedAt) > refusedFor {
		return Verdict{}
	}
	return Verdict{
		Code: RekeyRefused, Level: Warn, Text: p.RekeyRefused,
		Remedy: "the tunnel is made again in place of each rekeying; give both sides the same proposals, above all the key exchange group (PFS)",
	}
}

// rekeyRefused: a child works, and its next SA could not be made.
func rekeyRefused(_ *Peer, c *Child) Verdict {
	if !c.Up || c.Failed == "" {
		return Verdict{}
	}
	return Verdict{Code: RekeyRefused, Level: Warn, Text: c.Failed, Remedy: "it works until its SA ends; compare the proposals of both sides, above all the key exchange group (PFS)"}
}
