package ike

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike/wire"
)

// Short words for transforms, as a table of proposals is long.
var testTransforms = map[string]wire.Transform{
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

// proposals reads "ike gcm256 prf256 x25519; ike ..." and numbers what it reads.
func proposals(t testing.TB, s string) []wire.Proposal {
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
			tr, ok := testTransforms[w]
			if !ok {
				t.Fatalf("no test transform %q", w)
			}
			p.Transforms = append(p.Transforms, tr)
		}
		ps = append(ps, p)
	}
	return ps
}

// words writes the chosen transforms back.
func words(p wire.Proposal) string {
	var list []string
	for _, tr := range p.Transforms {
		for w, known := range testTransforms {
			if known == tr {
				list = append(list, w)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestChooseProposal(t *testing.T) {
	for _, c := range []struct{ what, ours, theirs, want string }{
		{"the same", "ike gcm256 prf256 x25519", "ike gcm256 prf256 x25519", "gcm256 prf256 x25519"},
		{"our first choice, not theirs", "ike gcm256 prf256 x25519; ike gcm128 prf256 x25519", "ike gcm128 prf256 x25519; ike gcm256 prf256 x25519", "gcm256 prf256 x25519"},
		{"our order within a proposal", "ike gcm256 gcm128 prf384 prf256 ecp256 x25519", "ike gcm128 gcm256 prf256 prf384 x25519 ecp256", "ecp256 gcm256 prf384"},
		{"one of several ciphers", "ike gcm128 prf256 x25519", "ike gcm256 gcm128 cc20 prf384 prf256 x25519", "gcm128 prf256 x25519"},
		{"CBC and HMAC", "ike cbc256 sha256 prf256 x25519", "ike cbc256 sha512 sha256 prf256 x25519", "cbc256 prf256 sha256 x25519"},
		{"AEAD with integrity NONE", "ike gcm128 prf256 x25519", "ike gcm128 noauth prf256 x25519", "gcm128 noauth prf256 x25519"},
		{"NONE among others", "ike gcm128 prf256 x25519", "ike gcm128 sha256 noauth prf256 x25519", "gcm128 noauth prf256 x25519"},
		{"CBC of a mixed offer", "ike gcm128 cbc256 sha256 prf256 x25519", "ike gcm128 cbc256 sha256 prf256 x25519", "cbc256 prf256 sha256 x25519"},

		// Rows 7 and 9 of the hostile inputs.
		{"no cipher", "ike gcm128 prf256 x25519", "ike prf256 x25519", ""},
		{"no PRF", "ike gcm128 prf256 x25519", "ike gcm128 x25519", ""},
		{"no key exchange", "ike gcm128 prf256 x25519", "ike gcm128 prf256", ""},
		{"no integrity", "ike cbc256 sha256 prf256 x25519", "ike cbc256 prf256 x25519", ""},
		{"key exchange NONE", "ike gcm128 prf256 x25519", "ike gcm128 prf256 noke", ""},
		{"key exchange NONE by our own fault", "ike gcm128 prf256 noke", "ike gcm128 prf256 noke", ""},
		{"integrity NONE with CBC", "ike cbc256 noauth prf256 x25519", "ike cbc256 noauth prf256 x25519", ""},
		{"key length absent", "ike gcm128 prf256 x25519", "ike gcm0 prf256 x25519", ""},
		{"key length 1", "ike gcm128 prf256 x25519", "ike gcm1 prf256 x25519", ""},
		{"key length 65535", "ike gcm128 prf256 x25519", "ike gcmff prf256 x25519", ""},
		{"a length for a fixed key", "esp cc20 noesn", "esp cc20k noesn", ""},
		{"two ciphers, one unknown", "ike gcm128 prf256 x25519", "ike x999 gcm128 prf256 x25519", "gcm128 prf256 x25519"},
		{"private group first", "ike gcm128 prf256 x25519", "ike gcm128 prf256 ke1025 x25519", "gcm128 prf256 x25519"},
		{"private group alone", "ike gcm128 prf256 x25519", "ike gcm128 prf256 ke1025", ""},
		{"GMAC unasked", "esp gcm128 noesn", "esp gmac noesn", ""},
		{"GMAC as configured", "esp gmac noesn", "esp gmac noesn", "gmac noesn"},
		{"NULL and NONE", "esp null noauth noesn", "esp null noauth noesn", ""},
		{"NULL and nothing", "esp null noesn", "esp null noesn", ""},
		{"NULL with integrity, as configured", "esp null sha256 noesn", "esp null sha256 noesn", "noesn null sha256"},
		{"AEAD with real integrity", "esp gcm128 noesn", "esp gcm128 sha256 noesn", ""},

		{"unknown attribute", "ike gcm128 prf256 x25519", "ike gcm128? prf256 x25519", ""},
		{"unknown attribute beside a good one", "ike gcm128 prf256 x25519", "ike gcm128? gcm128 prf256 x25519", "gcm128 prf256 x25519"},
		{"unknown transform type", "ike gcm128 prf256 x25519", "ike gcm128 prf256 x25519 addke", ""},
		{"unknown type in the first proposal only", "ike gcm128 prf256 x25519", "ike gcm128 prf256 x25519 addke; ike gcm128 prf256 x25519", "gcm128 prf256 x25519"},
		{"PRF in ESP", "esp gcm128 noesn", "esp gcm128 prf256 noesn", ""},

		{"ESN by our preference", "esp gcm128 esn noesn", "esp gcm128 noesn esn", "esn gcm128"},
		{"no ESN in common", "esp gcm128 esn", "esp gcm128 noesn", ""},
		{"ESN missing", "esp gcm128 noesn", "esp gcm128", ""},
		{"PFS", "esp gcm128 x25519 noesn", "esp gcm128 ecp256 x25519 noesn", "gcm128 noesn x25519"},
		{"PFS wanted, not offered", "esp gcm128 x25519 noesn", "esp gcm128 noesn", ""},
		{"PFS wanted, NONE offered", "esp gcm128 x25519 noesn", "esp gcm128 noke noesn", ""},
		{"PFS offered, not wanted", "esp gcm128 noesn", "esp gcm128 x25519 noesn", ""},
		{"PFS offered or NONE", "esp gcm128 noesn", "esp gcm128 x25519 noke noesn", "gcm128 noesn noke"},
		{"NONE is no group", "esp gcm128 noesn", "esp gcm128 noke noesn", "gcm128 noesn noke"},
		{"PFS if they can", "esp gcm128 x25519 noke noesn", "esp gcm128 noesn", "gcm128 noesn"},
		{"other protocol", "esp gcm128 noesn", "ah sha256 noesn", ""},
		{"IKE for ESP", "esp gcm128 noesn", "ike gcm128 prf256 x25519", ""},
		{"nothing", "esp gcm128 noesn", "", ""},
	} {
		got, ok := chooseProposal(proposals(t, c.ours), proposals(t, c.theirs))
		if ok != (c.want != "") || words(got) != c.want {
			t.Errorf("%s: %q of %q: got %q, %v, want %q", c.what, c.ours, c.theirs, words(got), ok, c.want)
		}
		if !ok {
			continue
		}
		if err := acceptedBy(proposals(t, c.theirs), got); err != nil {
			t.Errorf("%s: its initiator does not accept %q: %v", c.what, words(got), err)
		}
	}
}

func TestChooseProposalKeepsNumberAndSPI(t *testing.T) {
	theirs := proposals(t, "esp cc20 noesn; esp gcm128 noesn")
	theirs[1].SPI = []byte{9, 9, 9, 9}
	got, ok := chooseProposal(proposals(t, "esp gcm128 noesn"), theirs)
	if !ok || got.Number != 2 || string(got.SPI) != "\x09\x09\x09\x09" || got.Protocol != wire.ProtoESP {
		t.Errorf("got %+v, %v, want number 2 and its SPI", got, ok)
	}
}

func TestChooseProposalSPIs(t *testing.T) {
	ours := proposals(t, "esp gcm128 noesn; ike gcm128 prf256 x25519")
	for _, c := range []struct {
		proto wire.ProtocolID
		spi   string
		want  bool
	}{
		{wire.ProtoESP, "", false}, {wire.ProtoESP, "\x01\x02\x03", false}, {wire.ProtoESP, "\x01\x02\x03\x04\x05\x06\x07\x08", false},
		{wire.ProtoESP, "\x00\x00\x00\x00", false}, {wire.ProtoESP, "\x00\x00\x00\xff", false}, {wire.ProtoESP, "\x00\x00\x01\x00", true},
		{wire.ProtoIKE, "", true}, {wire.ProtoIKE, "\x01\x02\x03\x04", false}, {wire.ProtoIKE, "\x00\x00\x00\x00\x00\x00\x00\x00", false},
		{wire.ProtoIKE, "\x00\x00\x00\x00\x00\x00\x00\x01", true},
	} {
		theirs := proposals(t, map[wire.ProtocolID]string{wire.ProtoESP: "esp gcm128 noesn", wire.ProtoIKE: "ike gcm128 prf256 x25519"}[c.proto])
		theirs[0].SPI = []byte(c.spi)
		if _, ok := chooseProposal(ours, theirs); ok != c.want {
			t.Errorf("protocol %d with SPI %x: chosen %v, want %v", c.proto, c.spi, ok, c.want)
		}
	}
	rekey := proposals(t, "ike gcm128 prf256 x25519")
	if got := withSPISize(rekey, 8); len(got) != 0 {
		t.Errorf("an IKE rekey proposal without SPI passed: %v", got)
	}
	rekey[0].SPI = make([]byte, 8)
	if got := withSPISize(rekey, 8); len(got) != 1 || len(withSPISize(rekey, 0)) != 0 {
		t.Errorf("withSPISize(8) gives %v", got)
	}
}

func TestWithoutKE(t *testing.T) {
	ps := proposals(t, "esp gcm128 x25519 noesn; esp cc20 noesn")
	got := withoutKE(ps)
	if words(got[0]) != "gcm128 noesn" || words(got[1]) != "cc20 noesn" || words(ps[0]) != "gcm128 noesn x25519" {
		t.Errorf("withoutKE gives %v of %v", got, ps)
	}
}

func TestAcceptedByRefusesWhatWasNotOffered(t *testing.T) {
	offer := "ike gcm256 gcm128 prf256 x25519 ecp256; ike cbc256 sha256 prf256 x25519"
	for _, c := range []struct {
		number uint8
		answer string
		want   string
	}{
		{1, "ike gcm128 prf256 x25519", ""},
		{2, "ike cbc256 sha256 prf256 x25519", ""},
		{1, "ike gcm128 noauth prf256 x25519", ""},
		{3, "ike gcm128 prf256 x25519", "did not offer"},
		{2, "ike gcm128 prf256 x25519", "did not offer"},
		{1, "ike cbc256 sha256 prf256 x25519", "did not offer"},
		{1, "ike gcm128 prf384 x25519", "did not offer"},
		{1, "ike gcm128 prf256", "did not offer"},
		{1, "ike gcm128 prf256 noke", "did not offer"},
		{1, "ike gcm128 gcm256 prf256 x25519", "two transforms"},
		{1, "ike gcm128 sha256 prf256 x25519", "integrity"},
		{1, "ike gcm128 prf256 x25519 addke", "no meaning"},
		{1, "esp gcm128 noesn", "did not offer"},
	} {
		answer := proposals(t, c.answer)[0]
		answer.Number = c.number
		err := acceptedBy(proposals(t, offer), answer)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("answer %d %q: got %v, want %q", c.number, c.answer, err, c.want)
		}
	}
}

func TestExplainProposals(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want string }{
		{"ike gcm256 prf384 x25519", "ike gcm256 prf384 ecp256", "we have x25519, they have ecp256"},
		{"ike gcm256 prf384 x25519; ike cbc256 sha256 prf256 x25519", "ike gcm256 prf256 ecp256", "we have prfsha384, they have prfsha256"},
		{"esp gcm128 x25519 noesn", "esp gcm128 noesn", "we have x25519, they have nothing"},
		{"esp gcm128 esn", "esp gcm128 noesn", "we have esn, they have noesn"},
		{"esp gcm128 noesn", "ah sha256 noesn", "we want ESP, they want AH"},
		{"esp gcm128 noesn", "", "nothing that we could read"},
	} {
		lines := explainProposals(proposals(t, c.ours), proposals(t, c.theirs))
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "ours: aes") || !strings.HasPrefix(lines[1], "theirs: ") || !strings.Contains(lines[2], c.want) {
			t.Errorf("%q and %q: got %q, want %q", c.ours, c.theirs, lines, c.want)
		}
	}
	many := slices.Repeat(proposals(t, "esp cc20 noesn"), 5000)
	if lines := explainProposals(proposals(t, "esp gcm128 noesn"), many); len(strings.Join(lines, "")) > 1000 {
		t.Errorf("5000 proposals explained in %d characters", len(strings.Join(lines, "")))
	}
}
