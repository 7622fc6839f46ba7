package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/reason"
	"culvert/internal/ipsec"
)

// Whom the failure of a call is laid to, before the caller is authenticated. The only thing that is
// known of it is where it comes from. From an address that the configuration gives to a peer which
// is down, the call is taken for that peer's: it is shown beside the peer's own reason, never in
// place of it, and becomes an event of the peer at most once in callPause. If it is not known to
// come from there, since it had no answer of ours yet, it is shown as unverified, in place of no
// call that is, and becomes no event of the peer. Such a call and every other one is a stranger's,
// whatever it claims to be: a Refused effect, of which no peer's state depends.

// A call is one that was refused before its caller was authenticated.
type call struct {
	from    ipsec.Path
	reached bool     // what we sent there has reached it, so that its address is genuine
	claims  *profile // whose identity it named; nil: none that is configured
	event   string
}

// callPause is the least time between two events of a peer about refused calls from its address.
const callPause = time.Minute

// calls is what a profile keeps of the refused calls from its addresses.
type calls struct {
	child.Trouble           // of the last one
	reached       bool      // likewise
	told          time.Time // when one became an event
	more          int       // others since then
}

// callRefused records a refused call, within the limits of such records. why is called only if it
// is recorded: a flood of calls pays for no words.
func (e *Engine) callRefused(c call, why func() reason.Facts) {
	owners := e.peers.callers(c.from, c.claims)
	if !e.unprotected.AllowRefusal(e.handling.now, len(owners) > 0) {
		e.count("ike_refusals_limited")
		return
	}
	f := why()
	f.From = c.from.Remote().String()
	trouble := f.Trouble()
	trouble.At = e.handling.now
	for _, p := range owners {
		p.callRefused(trouble, c.reached)
	}
	if len(owners) > 0 && c.reached {
		return
	}
	r := Refused{From: c.from.Remote(), Event: c.event, Text: trouble.Reason, Cause: trouble.Cause, Explain: trouble.Explain}
	if c.claims != nil {
		r.Claims = c.claims.cfg.Name
	}
	e.emit(r)
}

// callRefused records a refused call from an address of the profile, which may be forged unless we
// have reached it there.
func (p *profile) callRefused(t child.Trouble, reached bool) {
	last, now := &p.calls, p.e.handling.now
	if !reached {
		if !last.reached {
			t.Reason = "unverified: " + t.Reason
			last.Trouble = t
		}
		return
	}
	if last.Reason == t.Reason || !last.told.IsZero() && now.Sub(last.told) < callPause {
		last.more++
	} else {
		told := t
		if last.more > 0 {
			told.Reason += fmt.Sprintf(" (and %d more refused calls since the last such line)", last.more)
		}
		p.party.fails(eventCallRefused, told)
		last.told, last.more = now, 0
	}
	last.Trouble, last.reached = t, true
}

// eventCallRefused is the event of a refused call from an address of a peer.
const eventCallRefused = "call-refused"

// callers returns the peers to which a call from a path is laid: of those that have its address and
// are down the one that it claims to be, or all.
func (t *peerTable) callers(from ipsec.Path, claims *profile) []*profile {
	list := slices.DeleteFunc(t.at(from), func(p *profile) bool { return p.party.main() != nil })
	if claims != nil && slices.Contains(list, claims) {
		return []*profile{claims}
	}
	return list
}

// A Refused is a call of a stranger: it was refused, and its caller was not authenticated.
type Refused struct {
	From    netip.AddrPort
	Claims  string // the configured peer whose identity it named, if any
	Event   string // "call-refused" or "auth-failed"
	Text    string // a sentence, escaped, without secrets
	Cause   reason.Cause
	Explain []string // details: both sides' proposals or identities, escaped
}

func (Refused) isEffect() {}
