package suite

import "culvert/ike/wire"

// A KeySchedule derives the keys of one IKE SA in steps: Init or Rekey seeds it, and each further
// shared secret is mixed in by a step of its own. After every step Keys returns the keys of it.
//
//	Init:   SKEYSEED = prf(Ni | Nr, g^ir)                    RFC 7296, Section 2.14
//	Rekey:  SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) RFC 7296, Section 2.18
//	Mix:    SKEYSEED = prf(SK_d, secret | Ni | Nr)           as of IKE_INTERMEDIATE, RFC 9370
//	Keys:   {SK_d | SK_ai | ...} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
//
// It owns its keys until Keys is called for the last step; those of the steps before are cleared. The
// shared secrets are the caller's to clear.
type KeySchedule struct {
	suite      *IKESuite
	ni, nr     []byte
	spiI, spiR wire.SPI
	keys       *Keys
}

// Schedule returns the key schedule of an IKE SA with the nonces and SPIs, not seeded yet.
func (s *IKESuite) Schedule(ni, nr []byte, spiI, spiR wire.SPI) *KeySchedule {
	return &KeySchedule{suite: s, ni: ni, nr: nr, spiI: spiI, spiR: spiR}
}

// Init seeds the schedule of an IKE SA that IKE_SA_INIT makes.
func (k *KeySchedule) Init(shared []byte) { k.derive(k.suite.SKEYSEED(k.ni, k.nr, shared)) }

// Rekey seeds the schedule of an IKE SA that replaces one with the PRF and SK_d given.
func (k *KeySchedule) Rekey(oldPRF *PRF, oldSKd, shared []byte) {
	k.derive(RekeySKEYSEED(oldPRF, oldSKd, shared, k.ni, k.nr))
}

// Mix adds a shared secret to a schedule that is seeded.
func (k *KeySchedule) Mix(secret []byte) {
	k.derive(k.suite.Prf().Sum(k.keys.D, secret, k.ni, k.nr))
}

// Keys returns the keys of the last step. They are the caller's to clear.
func (k *KeySchedule) Keys() *Keys { return k.keys }

// derive makes the keys of a SKEYSEED, which it clears.
func (k *KeySchedule) derive(skeyseed []byte) {
	if k.keys != nil {
		k.keys.Clear()
	}
	k.keys = k.suite.Keys(skeyseed, k.ni, k.nr, k.spiI, k.spiR)
	clear(skeyseed)
}
