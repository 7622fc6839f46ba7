package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"culvert/internal/readfile"
)

// maxSecret bounds a psk_file.
const maxSecret = 64 << 10

// weakSecret is the length in octets below which a secret can be guessed: an attacker in the middle
// of one IKE_AUTH exchange can try candidates offline.
const weakSecret = 12

// secrets returns the peer's secrets, of which psk may list several, the one to use first.
func (s section) secrets() (first []byte, others [][]byte) {
	list := s.list("psk")
	if _, isList := s.values["psk"].([]any); !isList {
		return s.psk(), nil
	}
	if s.has("psk_file") {
		s.fail("psk_file", "psk and psk_file are both set; remove one of them")
	}
	if s.checkPrivate("psk"); len(list) == 0 {
		s.fail("psk", "psk is empty; list at least one secret")
	}
	if len(list) > maxSecrets {
		s.fail("psk", "psk lists %d secrets; use at most %d", len(list), maxSecrets)
		return nil, nil
	}
	for i, e := range list {
		if secret := s.secret("psk", e.at, e.text); i == 0 {
			first = secret
		} else {
			others = append(others, secret)
		}
	}
	return first, others
}

// maxSecrets bounds the secrets that a call is tried with.
const maxSecrets = 4

// psk returns the peer's secret, from psk or psk_file, or nil if there is none or it is invalid.
func (s section) psk() []byte {
	inline, inFile := s.has("psk"), s.has("psk_file")
	if inline && inFile {
		s.fail("psk_file", "psk and psk_file are both set; remove one of them")
	}
	name, value := "psk", s.text("psk", "")
	switch {
	case inline:
		s.checkPrivate(name)
	case inFile:
		var ok bool
		name = "psk_file"
		if value, ok = s.secretFile(name); !ok {
			return nil
		}
	default:
		return nil
	}
	return s.secret(name, name, value)
}

// secret returns the octets of a secret, or nil if it is invalid.
func (s section) secret(name, at, value string) []byte {
	secret, err := parseSecret(value)
	if err != nil {
		s.fail(at, "%s: %v", name, err)
		return nil
	}
	if len(secret) < weakSecret {
		s.file.warn(s.line(name), "%s%s is short: an attacker who impersonates the peer once can then find it by guessing; use at least %d characters", s.where, name, weakSecret)
	}
	return secret
}

// secretFile returns the contents of the file that a key names, which only its owner may read,
// without the end of its last line.
func (s section) secretFile(name string) (value string, ok bool) {
	path := s.filePath(s.text(name, ""))
	if path == "" {
		s.fail(name, "%s is empty; give the name of a file", name)
		return "", false
	}
	data, mode, err := readfile.Whole(path, maxSecret)
	if err != nil {
		s.fail(name, "%s %s: %s", name, path, readfile.Reason(err))
		return "", false
	}
	if err := readfile.Private(path, mode); err != nil {
		s.fail(name, "%s %s %v", name, path, err)
	}
	return string(bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))), true
}

// checkPrivate refuses a secret in a file that others than its owner may read. It reports each file
// once.
func (s section) checkPrivate(name string) {
	f := s.file
	if err := readfile.Private(f.path, f.mode); err != nil && !f.exposed {
		f.exposed = true
		s.fail(name, "this file contains secrets and %v", err)
	}
}

// parseSecret returns the octets of a secret: hexadecimal after 0x, base64 after 0s, text after 0t,
// otherwise the text itself. Errors never contain it.
func parseSecret(value string) ([]byte, error) {
	secret, err := []byte(value), error(nil)
	if digits, ok := strings.CutPrefix(value, "0x"); ok {
		if secret, err = hex.DecodeString(digits); err != nil {
			return nil, errors.New("0x must be followed by an even number of hexadecimal digits; write 0t0x... for a text that begins with 0x")
		}
	}
	if digits, ok := strings.CutPrefix(value, "0s"); ok {
		if secret, err = base64.StdEncoding.DecodeString(digits); err != nil {
			return nil, errors.New("0s must be followed by base64; write 0t0s... for a text that begins with 0s")
		}
	}
	if text, ok := strings.CutPrefix(value, "0t"); ok {
		secret = []byte(text)
	}
	if len(secret) == 0 {
		return nil, fmt.Errorf("the secret is empty; set it to at least %d characters", weakSecret)
	}
	return secret, nil
}

// parseHexKey returns a manual key, which must have the given number of octets; of says what they
// are.
func parseHexKey(value string, octets int, of string) ([]byte, error) {
	digits, ok := strings.CutPrefix(value, "0x")
	key, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, errors.New("the key is not hexadecimal; use 0x and hexadecimal digits")
	}
	if len(key) != octets {
		return nil, fmt.Errorf("the key has %d octets; use %d, %s", len(key), octets, of)
	}
	return key, nil
}
