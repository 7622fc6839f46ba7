// Package proposaltest parses proposals in the abbreviations of tests.
package proposaltest

import (
	"strings"
	"testing"

	"culvert/ike/wire"
)

// Transforms maps an abbreviation to its transform.
var Transforms = map[string]wire.Transform{
	"gcm128":  {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128},
	"gcm192":  {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 192},
	"gcm256":  {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 256},
	"gcm0":    {Type: wire.TransformENCR, ID: wire.EncrAESGCM16},
	"gcm1":    {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 1},
	"gcmff":   {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 65535},
	"gcm128?": {Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128, UnknownAttribute: true},
	"cc20":    {Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305},
	"cc20k":   {Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305, KeyLength: 256},
	"cbc256":  {Type: wire.TransformENCR, ID: wire.EncrAESCBC, KeyLength: 256},
	"null":    {Type: wire.TransformENCR, ID: wire.EncrNULL},
	"gmac":    {Type: wire.TransformENCR, ID: wire.EncrNULLAuthAESGMAC, KeyLength: 128},
	"x999":    {Type: wire.TransformENCR, ID: 999},
	"sha256":  {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256},
	"sha512":  {Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2512},
	"noauth":  {Type: wire.TransformINTEG, ID: wire.IntegNone},
	"prf256":  {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256},
	"prf384":  {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2384},
	"x25519":  {Type: wire.TransformKE, ID: wire.GroupX25519},
	"ecp256":  {Type: wire.TransformKE, ID: wire.GroupECP256},
	"noke":    {Type: wire.TransformKE, ID: wire.GroupNone},
	"ke1025":  {Type: wire.TransformKE, ID: 1025},
	"esn":     {Type: wire.TransformESN, ID: wire.ESNYes},
	"noesn":   {Type: wire.TransformESN, ID: wire.ESNNo},
	"addke":   {Type: 6, ID: 36},
}

// Parse parses "ike gcm256 prf256 x25519; ike ..." and numbers the proposals from 1.
func Parse(t testing.TB, s string) []wire.Proposal {
	t.Helper()
	var ps []wire.Proposal
	for part := range strings.SplitSeq(s, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		p := wire.Proposal{Number: uint8(len(ps) + 1), Protocol: wire.ProtoIKE}
		switch words[0] {
		case "esp":
			p.Protocol, p.SPI = wire.ProtoESP, []byte{1, 2, 3, 4}
		case "ah":
			p.Protocol, p.SPI = wire.ProtoAH, []byte{1, 2, 3, 4}
		}
		for _, w := range words[1:] {
			tr, ok := Transforms[w]
			if !ok {
				t.Fatalf("no test transform %q", w)
			}
			p.Transforms = append(p.Transforms, tr)
		}
		ps = append(ps, p)
	}
	return ps
}
