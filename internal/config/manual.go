package config

import (
	"fmt"
	"strconv"

	"culvert/esp"
	"culvert/ike"
	"culvert/ike/suite"
	"culvert/ike/wire"
)

// readManual reads a child without IKE.
func (s section) readManual(p *Peer, peer section, c ike.Child, esn esnMode) {
	s.checkPrivate("manual")
	if !peer.has("remote") {
		s.fail("manual", "manual keys need an address to send to; set remote in the peer")
	}
	for _, name := range []string{"proposals", "start", "narrow", "children", "lifetime"} {
		if s.has(name) {
			s.fail(name, "%s has no effect on a child with manual keys; remove it", name)
		}
	}
	t := s.subtable("manual", manualKeys)
	m := Manual{Name: c.Name, Local: c.Local, Remote: c.Remote, Transport: c.Mode == ike.ModeTransport, CipherName: t.text("cipher", ""), ESN: esn == esnAlways}
	// RFC 4303, Section 3.4.3: manual keys have replay protection only if it is configured, since a
	// peer that restarts begins again with sequence number 1.
	if s.has("replay_window") || m.ESN {
		m.ReplayWindow = c.ReplayWindow
	}
	cipher, ok := esp.CipherNamed(m.CipherName)
	if !ok {
		t.fail("cipher", "cipher = %q is not a cipher for manual keys; use for example aes128gcm16, chacha20poly1305 or aes256-sha256", m.CipherName)
	}
	m.Cipher = cipher
	m.SPIOut, m.KeyOut = t.direction("out", cipher, ok)
	m.SPIIn, m.KeyIn = t.direction("in", cipher, ok)
	if !t.has("spi_out") && !t.has("spi_in") && ok {
		t.fail("", "spi_out and spi_in are both missing; configure at least one direction")
	}
	s.file.warn(s.line("manual"), "%smanual keys are never renewed, so anyone who learns them can read all traffic of the past; use them for tests and old peers only", s.where)
	t.warnWeakCipher(cipher)
	p.Manual = append(p.Manual, m)
}

// warnWeakCipher warns of a cipher for manual keys as proposals does.
func (s section) warnWeakCipher(c esp.Cipher) {
	for _, t := range []wire.Transform{{Type: wire.TransformENCR, ID: wire.TransformID(c.ID), KeyLength: c.KeyBits}, {Type: wire.TransformINTEG, ID: wire.TransformID(c.Auth)}} {
		if why := suite.Weak(t); why != "" {
			s.file.warn(s.line("cipher"), "%scipher: %q %s; use another one if the peer has it", s.where, t, why)
		}
	}
}

// direction returns the SPI and the keys of one direction, "out" or "in": all that the cipher
// needs, or zero values if none is configured. known is false for an unknown cipher.
func (s section) direction(side string, cipher esp.Cipher, known bool) (uint32, []byte) {
	spiName, keyName, authName := "spi_"+side, "key_"+side, "auth_key_"+side
	if !s.has(spiName) && !s.has(keyName) && !s.has(authName) {
		return 0, nil
	}
	if !s.has(spiName) || !s.has(keyName) && !s.has(authName) {
		s.fail("", "%s and %s must be given together; set both, or omit both", spiName, keyName)
		return 0, nil
	}
	spi, err := strconv.ParseUint(s.text(spiName, ""), 0, 32)
	if err != nil || spi < 256 {
		// RFC 4303, Section 2.1: 1 to 255 are reserved, 0 is for local use.
		s.fail(spiName, "%s = %q is not a usable SPI; use a number from 0x100 to 0xffffffff", spiName, s.text(spiName, ""))
	}
	if !known {
		return uint32(spi), nil
	}
	encr, auth := cipher.KeyLens()
	of := "the key of the encryption algorithm"
	if salt := encr - int(cipher.KeyBits)/8; salt > 0 {
		of = fmt.Sprintf("the cipher's key followed by a salt of %d", salt)
	}
	key := s.manualKey(keyName, cipher, encr, of)
	return uint32(spi), append(key, s.manualKey(authName, cipher, auth, "the key of the integrity algorithm")...)
}

// manualKey returns a part of the key material that the cipher needs, or none where it needs none.
func (s section) manualKey(name string, cipher esp.Cipher, octets int, of string) []byte {
	switch {
	case octets == 0 && s.has(name):
		s.fail(name, "%s is not used by %s; remove it", name, cipher)
		return nil
	case octets == 0:
		return nil
	case !s.has(name):
		s.fail("", "%s needs %s, %d octets: %s", cipher, name, octets, of)
		return nil
	}
	key, err := parseHexKey(s.text(name, ""), octets, of)
	if err != nil {
		s.fail(name, "%s: %v", name, err)
	}
	return key
}
