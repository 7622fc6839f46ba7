package esp

// Cipher names an ESP AEAD (RFC 4106, RFC 7634) by its IANA transform ID and key length.
type Cipher struct {
	ID      uint16 // IANA "Encryption Algorithm Transform IDs": 20 AES-GCM-16, 28 ChaCha20-Poly1305
	KeyBits uint16 // AES: 128, 192 or 256; ChaCha20-Poly1305: 256
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
	Key    []byte // the cipher's key, then the salt
	Cipher Cipher
	ESN    bool
	// IVStart is added to the sequence number (modulo 2^64) to make the IV. It is zero for
	// negotiated keys. With manual keys the sequence numbers restart while the key stays, so it
	// must be drawn at random: otherwise IVs repeat under one key (RFC 4106, Section 3.1).
	IVStart      uint64
	ReplayWindow int // packets; zero: no replay protection
	State        State
	Limits       Limits
}
