// Package suite is IKEv2's cryptography: PRF and prf+, key exchange, SK{} protection, key derivation and the AUTH
// computation, chosen by the transforms of a proposal. It reads no clock and keeps no global state.
package suite

import "culvert/ike/wire"

// KeyExchange is one ephemeral private value of a key exchange method.
type KeyExchange interface {
	// Public is the Key Exchange Data to send (RFC 7296, Section 3.4).
	Public() []byte
	// Shared computes the shared secret with the peer's Key Exchange Data, which it checks (RFC 6989). It is slow, may run on
	// any goroutine, one call at a time, and there is one secret at most. A value that is refused uses up nothing: it
	// may be a stranger's, with the peer's still to come.
	Shared(peer []byte) ([]byte, error)
}

// KEMaker makes a fresh KeyExchange of a method, or says that it does not know it. It is slow and may run on any goroutine.
type KEMaker func(group wire.TransformID) (KeyExchange, error)
