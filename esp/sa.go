package esp

// Cipher names the algorithms of an ESP SA by their IANA transform IDs: one that encrypts and
// authenticates, or one of each kind. None encrypts without authentication (RFC 8221, Section 4).
type Cipher struct {
	ID      uint16 // IANA "Encryption Algorithm Transform IDs"
	KeyBits uint16 // AES: 128, 192 or 256; ChaCha20-Poly1305: 256; NULL: 0
	Auth    uint16 // IANA "Integrity Algorithm Transform IDs"; 0: ID authenticates as well
}

// Limits are lifetimes in traffic; zero is unlimited (RFC 4301, Section 4.4.2.1).
type Limits struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
}

// An SA holds the parameters of one direction of a security association (RFC 4301, Section 4.1).
// NewInbound and NewOutbound read it and keep no reference to it.
type SA struct {
	SPI    uint32
	Key    []byte // the cipher's key, its salt and the key of the integrity algorithm: see Cipher.KeyLen
	Cipher Cipher
	ESN    bool
	// IVStart is added to the sequence number (modulo 2^64) to make the IV. It is zero for
	// negotiated keys. For a manual key it is drawn at random when the key is first used, and kept
	// with the sequence numbers: should these be lost, the IVs still do not repeat under the key
	// (RFC 4106, Section 3.1).
	IVStart      uint64
	ReplayWindow int // packets; zero: no replay protection
	State        State
	// Allowed is the last sequence number that may be used until Outbound.Allow; zero: all may. Of
	// an SA whose key outlasts the process, a number may be used only once it is on record that it
	// may have been.
	Allowed uint64
	Limits  Limits
}
