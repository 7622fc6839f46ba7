package ike

import (
	"errors"

	"culvert/ike/reason"
	"culvert/ike/wire"
)

// The errors of a request's handler. A message that fails before it is opened is only dropped and
// counted. A handler that returns one of these errors has changed nothing.
type (
	// A notifyError is answered with a notify; the IKE SA stays.
	notifyError struct {
		notify *wire.Notify
		text   string
		facts  *reason.Facts // if it is to be told
	}
	// A fatalError is answered with a notify that ends the IKE SA: "this error notification is
	// considered fatal in both peers, meaning that the IKE SA is deleted without needing an
	// explicit Delete payload" (RFC 7296, Section 2.21.3).
	fatalError struct {
		notify *wire.Notify
		text   string
	}
)

func (n *notifyError) Error() string { return n.text }
func (f *fatalError) Error() string  { return f.text }

// ownFault returns the facts of an attempt that this side cannot go on with.
func ownFault(why string) reason.Facts { return reason.Facts{Cause: reason.Own, Why: why} }

// errPending means that the answer follows a computation; see ikeSA.conclude.
var errPending = errors.New("the answer waits for a computation")

// refuse returns a notifyError without SPI and data.
func refuse(kind wire.NotifyType, text string) error {
	return &notifyError{notify: &wire.Notify{Kind: kind}, text: text}
}

// refuseFor is refuse, of a negotiation whose failure is told.
func refuseFor(kind wire.NotifyType, f reason.Facts) error {
	return &notifyError{notify: &wire.Notify{Kind: kind}, text: f.Why, facts: &f}
}

// fatal returns a fatalError without SPI and data.
func fatal(kind wire.NotifyType, text string) error {
	return &fatalError{notify: &wire.Notify{Kind: kind}, text: text}
}
