package proposal

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

// words returns the abbreviations of the chosen transforms.
func words(p wire.Proposal) string {
	var list []string
	for _, tr := range p.Transforms {
		for w, known := range proposaltest.Transforms {
			if known == tr {
				list = append(list, w)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestChoose(t *testing.T) {
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
		got, ok := Choose(proposaltest.Parse(t, c.ours), proposaltest.Parse(t, c.theirs))
		if ok != (c.want != "") || words(got) != c.want {
			t.Errorf("%s: %q of %q: got %q, %v, want %q", c.what, c.ours, c.theirs, words(got), ok, c.want)
		}
		if !ok {
			continue
		}
		if err := CheckAnswer(proposaltest.Parse(t, c.theirs), got); err != nil {
			t.Errorf("%s: its initiator does not accept %q: %v", c.what, words(got), err)
		}
	}
}

func TestChooseKeepsNumberAndSPI(t *testing.T) {
	theirs := proposaltest.Parse(t, "esp cc20 noesn; esp gcm128 noesn")
	theirs[1].SPI = []byte{9, 9, 9, 9}
	got, ok := Choose(proposaltest.Parse(t, "esp gcm128 noesn"), theirs)
	if !ok || got.Number != 2 || string(got.SPI) != "\x09\x09\x09\x09" || got.Protocol != wire.ProtoESP {
		t.Errorf("got %+v, %v, want number 2 and its SPI", got, ok)
	}
}

func TestChooseSPIs(t *testing.T) {
	ours := proposaltest.Parse(t, "esp gcm128 noesn; ike gcm128 prf256 x25519")
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
		theirs := proposaltest.Parse(t, map[wire.ProtocolID]string{wire.ProtoESP: "esp gcm128 noesn", wire.ProtoIKE: "ike gcm128 prf256 x25519"}[c.proto])
		theirs[0].SPI = []byte(c.spi)
		if _, ok := Choose(ours, theirs); ok != c.want {
			t.Errorf("protocol %d with SPI %x: chosen %v, want %v", c.proto, c.spi, ok, c.want)
		}
	}
	rekey := proposaltest.Parse(t, "ike gcm128 prf256 x25519")
	if got := WithSPISize(rekey, 8); len(got) != 0 {
		t.Errorf("an IKE rekey proposal without SPI passed: %v", got)
	}
	rekey[0].SPI = make([]byte, 8)
	if got := WithSPISize(rekey, 8); len(got) != 1 || len(WithSPISize(rekey, 0)) != 0 {
		t.Errorf("WithSPISize(8) gives %v", got)
	}
}

func TestWithoutKE(t *testing.T) {
	ps := proposaltest.Parse(t, "esp gcm128 x25519 noesn; esp cc20 noesn")
	got := WithoutKE(ps)
	if words(got[0]) != "gcm128 noesn" || words(got[1]) != "cc20 noesn" || words(ps[0]) != "gcm128 noesn x25519" {
		t.Errorf("WithoutKE gives %v of %v", got, ps)
	}
}

func TestCheckAnswerRefusesWhatWasNotOffered(t *testing.T) {
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
		answer := proposaltest.Parse(t, c.answer)[0]
		answer.Number = c.number
		err := CheckAnswer(proposaltest.Parse(t, offer), answer)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("answer %d %q: got %v, want %q", c.number, c.answer, err, c.want)
		}
	}
}

// Whatever is chosen from the common proposals is allowed by both.
func TestCommon(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want string }{
		{"ike gcm256 prf256 x25519", "ike gcm256 prf256 x25519", "gcm256 prf256 x25519"},
		{"ike gcm256 gcm128 prf256 x25519", "ike gcm128 prf384 prf256 ecp256 x25519", "gcm128 prf256 x25519"},
		{"ike gcm256 prf256 x25519; ike gcm128 prf256 ecp256", "ike gcm128 gcm256 prf256 x25519 ecp256", "gcm256 prf256 x25519|ecp256 gcm128 prf256"},
		{"ike gcm256 prf256 x25519", "ike gcm256 noauth sha256 prf256 x25519", "gcm256 noauth prf256 x25519"},
		{"ike gcm256 prf256 x25519", "ike gcm256 sha256 prf256 x25519", ""},
		{"ike gcm256 prf256 x25519", "ike gcm256 gcm256 prf256 x25519 x25519", "gcm256 prf256 x25519"},
		{"ike gcm256 prf256 x25519", "ike gcm256 prf256 ecp256", ""},
	} {
		var got []string
		for _, p := range Common(proposaltest.Parse(t, c.ours), proposaltest.Parse(t, c.theirs)) {
			if got = append(got, words(p)); p.Number != 1 {
				t.Errorf("%s and %s: number %d", c.ours, c.theirs, p.Number)
			}
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("%s and %s: %q, want %q", c.ours, c.theirs, got, c.want)
		}
	}
	one := "ike gcm256 gcm128 cc20 prf256 x25519"
	if n := len(Common(proposaltest.Parse(t, one), slices.Repeat(proposaltest.Parse(t, one), 1000))); n != 1 {
		t.Errorf("%d of a payload that repeats one", n)
	}
	var many string
	for _, encr := range []string{"gcm256", "gcm128", "cc20"} {
		for _, ke := range []string{"x25519", "ecp256", "x25519 ecp256"} {
			many += ";ike " + encr + " prf256 " + ke
		}
	}
	if n := len(Common(proposaltest.Parse(t, many[1:]), proposaltest.Parse(t, many[1:]))); n != maxCommon {
		t.Errorf("%d of a hostile payload", n)
	}
}
