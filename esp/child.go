package esp

import (
	"net/netip"

	"culvert/selector"
)

// ChildID names one Child SA pair within a daemon for its whole life. IDs grow: of two pairs of the same policy the one
// with the larger ID is the newer, so that a late effect of a lost rekey collision can be told and ignored.
type ChildID uint64

// Policy names the configured policy (a [[peer.child]]) that a Child SA serves.
type Policy struct {
	Peer  string // the peer's configured name, or the generated one of an instance
	Child string // the child's configured name
}

// Cipher names an ESP AEAD (RFC 4106, RFC 7634) by its IANA transform ID and key length.
type Cipher struct {
	ID      uint16 // IANA "Encryption Algorithm Transform IDs": 20 AES-GCM-16, 28 ChaCha20-Poly1305
	KeyBits uint16 // AES: 128, 192 or 256; ChaCha20-Poly1305: 256
}

// Endpoint is where a Child SA's packets go and come from outside.
type Endpoint struct {
	Local  netip.AddrPort // port 0 for raw ESP
	Remote netip.AddrPort // port 0 for raw ESP
	Encap  bool           // UDP encapsulation (RFC 3948) rather than IP protocol 50
}

// Limits are lifetimes counted on the wire; zero is no limit (RFC 4301, Section 4.4.2.1).
type Limits struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
}

// ChildSA is a negotiated (or manually keyed) SA pair as the control plane hands it to the
// dataplane. Keys hold the cipher key followed by the salt. It is immutable, and the receiver may
// keep it, save the keys: it makes its ciphers of these before it returns, and whoever handed them
// over may then clear them.
type ChildSA struct {
	ID     ChildID
	Policy Policy

	SPIIn, SPIOut uint32 // zero: this direction is absent (one-way manual SA)
	KeyIn, KeyOut []byte
	Cipher        Cipher
	ESN           bool
	// IVStart is added to the sequence number (modulo 2^64) to make the IV. Zero for negotiated keys. With manual keys the numbers begin anew at each start
	// while the key stays, so that whoever installs such an SA must draw it at random: else IVs repeat under one key (RFC 4106, Section 3.1).
	IVStart      uint64
	ReplayWindow int // packets; zero: no replay protection

	Endpoint Endpoint
	// LocalTS and RemoteTS are the negotiated selectors: inner source and destination of outbound packets (RFC 4301, Section 4.4.2).
	LocalTS, RemoteTS []selector.Selector
	Limits            Limits

	// Resource is the dataplane's worker that the pair is for, counted from 1 (RFC 9611); 0: none, and any may send on it.
	Resource int
	// PerResource says that the peer makes pairs for single workers: one that is busy on a pair not its own asks for one (EventAcquire).
	PerResource bool
}

// ClearKeys overwrites the key material, wherever else the same memory is referred to.
func (sa *ChildSA) ClearKeys() {
	clear(sa.KeyIn)
	clear(sa.KeyOut)
}
