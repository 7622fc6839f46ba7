// Package suite implements IKEv2's cryptography: PRF and prf+, key exchange, SK{} protection, key
// derivation and the AUTH computation, selected by the transforms of a proposal. It reads no clock
// and keeps no global state.
package suite

import "culvert/ike/wire"

// KeyExchange holds one ephemeral private value of a key exchange method.
type KeyExchange interface {
	// Public returns the Key Exchange Data to send (RFC 7296, Section 3.4).
	Public() []byte
	// Shared checks the peer's Key Exchange Data (RFC 6989) and returns the shared secret. It is
	// slow and may run on any goroutine, but only one call at a time. It returns at most one
	// secret. A refused value does not use up the key exchange: it may come from a stranger, before
	// the peer's own.
	Shared(peer []byte) ([]byte, error)
}

// Groups is a set of key exchange methods. SystemGroups is the one to use; tests have others.
type Groups interface {
	// New returns a fresh KeyExchange of a method, or an error if it does not know the method. It
	// is slow and may run on any goroutine.
	New(group wire.TransformID) (KeyExchange, error)
	// Check returns an error for Key Exchange Data that Shared would refuse before it computes
	// anything. It takes microseconds.
	Check(group wire.TransformID, public []byte) error
	// Dear reports whether a key exchange takes several milliseconds, so that a stranger must first
	// show that it receives at its address.
	Dear(group wire.TransformID) bool
}
