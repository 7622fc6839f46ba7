package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
)

// sshCurves are the curves of ECDSA keys by their names in OpenSSH (RFC 5656, Section 6.1).
var sshCurves = map[string]elliptic.Curve{
	"ecdsa-sha2-nistp256": elliptic.P256(),
	"ecdsa-sha2-nistp384": elliptic.P384(),
	"ecdsa-sha2-nistp521": elliptic.P521(),
}

var errSSH = errors.New("the public key in OpenSSH's form cannot be read; use one line of a .pub file, with a key of RSA, ECDSA or Ed25519")

// parseSSH returns the public key of a line of OpenSSH: its kind, the key in base64, and a comment
// (RFC 4253, Section 6.6; RFC 5656, Section 3.1; RFC 8709, Section 4).
func parseSSH(line []byte) (crypto.PublicKey, error) {
	fields := bytes.Fields(line)
	if len(fields) < 2 || bytes.Count(bytes.TrimSpace(line), []byte("\n")) > 0 {
		return nil, errSSH
	}
	blob, err := base64.StdEncoding.DecodeString(string(fields[1]))
	in := cryptobyte.String(blob)
	var parts []cryptobyte.String
	for err == nil && !in.Empty() && len(parts) < 4 {
		var length uint32
		var part []byte
		if !in.ReadUint32(&length) || !in.ReadBytes(&part, int(length)) {
			return nil, errSSH
		}
		parts = append(parts, part)
	}
	if len(parts) < 2 || string(parts[0]) != string(fields[0]) || !in.Empty() {
		return nil, errSSH
	}
	pub := sshKey(string(fields[0]), parts[1:])
	if pub == nil {
		return nil, errSSH
	}
	return pub, checkKey("public", pub)
}

// sshKey returns the public key of its kind, or nil if the parts are not those of one.
func sshKey(kind string, parts []cryptobyte.String) crypto.PublicKey {
	switch {
	case kind == "ssh-ed25519" && len(parts) == 1 && len(parts[0]) == ed25519.PublicKeySize:
		return ed25519.PublicKey(parts[0])
	case kind == "ssh-rsa" && len(parts) == 2 && len(parts[0]) <= 4:
		return &rsa.PublicKey{E: int(new(big.Int).SetBytes(parts[0]).Int64()), N: new(big.Int).SetBytes(parts[1])}
	case sshCurves[kind] != nil && len(parts) == 2:
		if pub, err := ecdsa.ParseUncompressedPublicKey(sshCurves[kind], parts[1]); err == nil {
			return pub
		}
	}
	return nil
}
