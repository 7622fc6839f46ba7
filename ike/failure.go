package ike

import (
	"errors"

	"culvert/ike/wire"
)

// What a request can come to, other than an answer. Before it is opened there is only one failure: it is dropped and counted. After that a handler returns
// one of these; in neither of them it has changed anything.
type (
	// notifyError is answered with a notify; the SA lives on.
	notifyError struct {
		notify *wire.Notify
		text   string
	}
	// fatalError is answered with a notify, after which the SA is no more: "this error notification is considered fatal in both peers, meaning that the IKE SA is deleted
	// without needing an explicit Delete payload" (RFC 7296, Section 2.21.3).
	fatalError struct {
		notify *wire.Notify
		text   string
	}
)

func (n *notifyError) Error() string { return n.text }
func (f *fatalError) Error() string  { return f.text }

// errPending says that the answer comes later, by ikeSA.answer, after a computation.
var errPending = errors.New("the answer waits for a computation")

// refuse is a notifyError without SPI and data.
func refuse(kind wire.NotifyType, text string) error {
	return &notifyError{notify: &wire.Notify{Kind: kind}, text: text}
}

// fatal is a fatalError without SPI and data.
func fatal(kind wire.NotifyType, text string) error {
	return &fatalError{notify: &wire.Notify{Kind: kind}, text: text}
}

// endCause says why an IKE SA or a Child SA is no more, as far as what to do next depends on it.
type endCause uint8

const (
	endLocal     endCause = iota // we wanted it: Disconnect, reload, shutdown
	endPeer                      // the peer deleted it
	endDead                      // the peer does not answer
	endExpired                   // its hard lifetime is over
	endReplaced                  // another one does its work
	endRestarted                 // the peer has lost it
	endMoved                     // our address changed, and the peer did not follow
	endFailed                    // it never came up, or an error ended it
)
