package suite

import (
	"bytes"

	"culvert/ike/wire"
)

// A KeySchedule derives the keys of one IKE SA in steps: Init, Rekey or Resume seeds it, and Mix
// adds each further shared secret. Keys returns the keys of the last step.
//
//	Init:   SKEYSEED = prf(Ni | Nr, g^ir)                    RFC 7296, Section 2.14
//	Rekey:  SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) RFC 7296, Section 2.18
//	Mix:    SKEYSEED = prf(SK_d, secret | Ni | Nr)           as of IKE_INTERMEDIATE, RFC 9370
//	Keys:   {SK_d | SK_ai | ...} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
//
// It owns its keys until Keys is called after the last step, and clears those of earlier steps. The
// caller must clear the shared secrets.
type KeySchedule struct {
	suite      *IKESuite
	ni, nr     []byte
	spiI, spiR wire.SPI
	keys       *Keys
}

// Schedule returns an unseeded key schedule for an IKE SA with these nonces and SPIs.
func (s *IKESuite) Schedule(ni, nr []byte, spiI, spiR wire.SPI) *KeySchedule {
	return &KeySchedule{suite: s, ni: ni, nr: nr, spiI: spiI, spiR: spiR}
}

// Init seeds the schedule of an IKE SA made by IKE_SA_INIT.
func (k *KeySchedule) Init(shared []byte) { k.derive(k.suite.SKEYSEED(k.ni, k.nr, shared)) }

// Rekey seeds the schedule of an IKE SA that replaces the one with the given PRF and SK_d.
func (k *KeySchedule) Rekey(oldPRF *PRF, oldSKd, shared []byte) {
	k.derive(RekeySKEYSEED(oldPRF, oldSKd, shared, k.ni, k.nr))
}

// Resume seeds the schedule of an IKE SA whose SKEYSEED was kept (IKESuite.SKEYSEED). The caller
// must clear it.
func (k *KeySchedule) Resume(skeyseed []byte) { k.derive(bytes.Clone(skeyseed)) }

// Mix adds a shared secret to a seeded schedule.
func (k *KeySchedule) Mix(secret []byte) {
	k.derive(k.suite.Prf().Sum(k.keys.D, secret, k.ni, k.nr))
}

// Keys returns the keys of the last step. The caller must clear them.
func (k *KeySchedule) Keys() *Keys { return k.keys }

// derive derives the keys from a SKEYSEED, and clears it.
func (k *KeySchedule) derive(skeyseed []byte) {
	if k.keys != nil {
		k.keys.Clear()
	}
	k.keys = k.suite.Keys(skeyseed, k.ni, k.nr, k.spiI, k.spiR)
	clear(skeyseed)
}
