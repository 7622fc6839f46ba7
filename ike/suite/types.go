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

// KEMaker returns a fresh KeyExchange of a method, or an error if it does not know the method. It
// is slow and may run on any goroutine.
type KEMaker func(group wire.TransformID) (KeyExchange, error)
