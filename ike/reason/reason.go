// Package reason puts into words why a negotiation with a peer failed. Facts are what is known of
// the failure, and Facts.Trouble is the only place that makes words of them: the log, status and
// the commands show what it returns. It is pure.
package reason

import (
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/selector"
)

// A Cause names what failed, for programs: one word, which stays the same.
type Cause string

// Causes. Facts have the general ones, and Trouble returns IKEGroup for an IKEProposal, and PFS or
// ESN for an ESPProposal, where the first difference shows it.
const (
	IKEProposal Cause = "ike-proposal" // no common IKE proposal
	IKEGroup    Cause = "ike-group"    // no common key exchange for IKE
	ESPProposal Cause = "esp-proposal" // no common ESP proposal
	PFS         Cause = "pfs"          // one side wants a key exchange for the Child SA
	ESN         Cause = "esn"          // extended sequence numbers
	Mode        Cause = "mode"         // tunnel or transport mode
	Networks    Cause = "networks"     // the networks do not meet
	Narrowed    Cause = "narrowed"     // it is up with less than was asked for
	Secret      Cause = "psk"          // the pre-shared keys differ
	Identity    Cause = "identity"     // an identity that is not expected
	Method      Cause = "auth-method"  // a method of authentication that is not accepted
	Certificate Cause = "certificate"  // a certificate or key that is not accepted
	Rejected    Cause = "rejected"     // the peer does not accept our proof of identity
	Childless   Cause = "childless"    // an IKE SA without a Child SA
	Version     Cause = "ike-version"  // the peer speaks another version of IKE
	Cookie      Cause = "cookie"       // the peer asks for cookies without end
	Answered    Cause = "answered"     // another error of the peer
	Unusable    Cause = "unusable"     // a message of the peer that cannot be used
	NoAnswer    Cause = "no-answer"    // the peer does not answer
	Refused     Cause = "refused"      // this side refuses for another reason
	Own         Cause = "own"          // this side cannot go on
)

// Facts are what is known of a failed negotiation.
type Facts struct {
	Cause Cause
	// From is the address of a caller, or of one of several that we try. It stands in front.
	From string
	// In is the exchange, of an error that the peer answered, and Answer that error; 0: this side
	// found the failure out.
	In     wire.ExchangeType
	Answer wire.NotifyType
	// Ours and Theirs are what both sides want; theirs may be unknown.
	Ours, Theirs Offer
	// Group is the key exchange that the peer asks for in INVALID_KE_PAYLOAD.
	Group wire.TransformID
	// Rekey tells that a Child SA is there, which was to be rekeyed.
	Rekey bool
	// Why is what the cause leaves open, in words that continue the sentence.
	Why string
	// Details are further lines, such as those of the peer's certificates.
	Details []string
}

// An Offer is what one side wants, as far as it is known.
type Offer struct {
	Proposals     []wire.Proposal
	Local, Remote []selector.Selector // as this side sees them
	ID            string              // its identity
	Proof         string              // by what it proves that
	Expects       string              // the identity that it expects of the other side
	Raw           bool                // it carries ESP by IP protocol 50 alone
	Times         int                 // how often it did what the other side asked for
}

// Trouble is why something is down, for people.
type Trouble struct {
	Cause   Cause     // of a failed negotiation; "": there was none
	Reason  string    // one line: what failed, with the first difference; escaped and bounded
	Explain []string  // what both sides offered, and the like; likewise
	At      time.Time // of the failure, as its owner noted it
}

// Bounds of a Trouble, in octets and lines.
const (
	MaxText  = 480
	MaxLine  = 640
	MaxLines = 16
)

// Trouble returns the words for the facts.
func (f Facts) Trouble() Trouble {
	text := f.Bare()
	if f.Rekey {
		text = "rekeying failed: " + text
	}
	if f.From != "" {
		text = f.From + ": " + text
	}
	t := Trouble{Cause: f.Cause, Reason: identity.PrintableTo(text, MaxText)}
	for _, line := range f.details() {
		if len(t.Explain) == MaxLines {
			break
		}
		t.Explain = append(t.Explain, identity.PrintableTo(line, MaxLine))
	}
	return t
}

// Bare returns the first line of the Trouble without what From and Rekey put in front.
func (f *Facts) Bare() string {
	f.refine()
	return identity.PrintableTo(f.words(), MaxText)
}

// An Error is a Trouble as the error of a command. Of names what it is about, in front.
type Error struct {
	Trouble
	Of string
}

// Error returns the first line.
func (e *Error) Error() string { return e.Of + e.Reason }

// Err returns the error of a command that waits for what has the trouble.
func Err(t Trouble, of string) error { return &Error{t, of} }
