package ike

import (
	"bytes"

	"culvert/ike/wire"
)

// IKEKeys is an effect: the keys that protect the messages of an IKE SA, for people who decrypt a
// capture. There is none unless Config.TellKeys asks for it. It precedes all messages that this
// side sends under the keys. The keys are a copy, which the receiver must clear.
type IKEKeys struct {
	SPIi, SPIr     wire.SPI
	Encr, Integ    wire.Transform // Integ is the zero Transform, or NONE, with an AEAD
	Ei, Er, Ai, Ar []byte         // Ei and Er end with an AEAD's salt; Ai and Ar are then empty
}

func (IKEKeys) isEffect() {}

// Clear overwrites the keys.
func (k *IKEKeys) Clear() {
	for _, key := range [][]byte{k.Ei, k.Er, k.Ai, k.Ar} {
		clear(key)
	}
}

// tellKeys tells the keys of an IKE SA, if there are any and somebody is to know them. Keys that a
// stranger's IKE_SA_INIT led to are told only after a message came that they protect: all others
// cost the stranger nothing, and this host a line each.
func (e *Engine) tellKeys(spi spiPair, k *saKeys) {
	if !e.cfg.TellKeys || k.keys == nil {
		return
	}
	e.emit(IKEKeys{
		SPIi: spi.I, SPIr: spi.R, Encr: k.suite.Encr, Integ: k.suite.Integ,
		Ei: bytes.Clone(k.keys.Ei), Er: bytes.Clone(k.keys.Er), Ai: bytes.Clone(k.keys.Ai), Ar: bytes.Clone(k.keys.Ar),
	})
}
