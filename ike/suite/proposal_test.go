package suite

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike/wire"
)

func TestParseIKEProposal(t *testing.T) {
	for text, name := range map[string]string{
		"aes256gcm16-prfsha384-x25519":                                "aes256gcm16-prfsha384-x25519",
		"aes256gcm12-aes128ccm16-prfsha256-modp1536":                  "aes256gcm12-aes128ccm16-prfsha256-modp1536",
		"aes192ctr-sha256-modp1024":                                   "aes192ctr-sha256-prfsha256-modp1024",
		"aes128gcm16-prfsha256-ecp256":                                "aes128gcm16-prfsha256-ecp256",
		"aes256gcm16-sha384-ecp384":                                   "aes256gcm16-prfsha384-ecp384",
		"aes256-sha256-modp2048":                                      "aes256-sha256-prfsha256-modp2048",
		"aes128cbc-sha2_512-curve25519":                               "aes128-sha512-prfsha512-x25519",
		"x25519-prfsha256-aes256gcm16":                                "aes256gcm16-prfsha256-x25519",
		"AES256GCM16-PRFSHA384-X25519":                                "aes256gcm16-prfsha384-x25519",
		"aes256gcm16-prfsha512-curve448":                              "aes256gcm16-prfsha512-x448",
		"aes192-sha1-prfsha256-ecp521":                                "aes192-sha1-prfsha256-ecp521",
		"chacha20poly1305-prfsha1-ecp256":                             "chacha20poly1305-prfsha1-ecp256",
		"aes256-aes128-sha384-sha256-x25519-ecp256-modp3072-modp4096": "aes256-aes128-sha384-sha256-prfsha384-prfsha256-x25519-ecp256-modp3072-modp4096",
	} {
		p := mustIKE(t, text)
		if got := IKEProposalName(p); got != name {
			t.Errorf("%s is called %s, want %s", text, got, name)
		}
		if p.Number != 1 || p.Protocol != wire.ProtoIKE || len(p.SPI) != 0 {
			t.Errorf("%s: %+v", text, p)
		}
		if again := mustIKE(t, name); !slices.Equal(again.Transforms, p.Transforms) {
			t.Errorf("%s: %v becomes %v when its name is read", text, p.Transforms, again.Transforms)
		}
	}
}

func TestParseESPProposal(t *testing.T) {
	for text, name := range map[string]string{
		"aes128gcm16":                                    "aes128gcm16",
		"aes128gcm16-noesn":                              "aes128gcm16",
		"aes128gcm16-esn":                                "aes128gcm16-esn",
		"aes256gcm16-x25519":                             "aes256gcm16-x25519",
		"aes256-aes128ctr-sha256-sha1-modp2048":          "aes256-aes128ctr-sha256-sha1-modp2048",
		"aes256gcm96-aes128ccm64":                        "aes256gcm12-aes128ccm8",
		"null-sha256-esn":                                "null-sha256-esn",
		"aes128gmac":                                     "aes128gmac",
		"aes128gcm16-x25519-esn":                         "aes128gcm16-x25519-esn",
		"esn-ecp384-chacha20poly1305-noesn-aes192gcm128": "chacha20poly1305-aes192gcm16-ecp384-esn-noesn",
	} {
		p := mustESP(t, text)
		if got := ESPProposalName(p); got != name {
			t.Errorf("%s is called %s, want %s", text, got, name)
		}
		if p.Number != 1 || p.Protocol != wire.ProtoESP {
			t.Errorf("%s: %+v", text, p)
		}
		if again := mustESP(t, name); !slices.Equal(again.Transforms, p.Transforms) {
			t.Errorf("%s: %v becomes %v when its name is read", text, p.Transforms, again.Transforms)
		}
	}
	p := mustESP(t, "aes128gcm16")
	p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformKE, ID: wire.GroupNone})
	if got := ESPProposalName(p); got != "aes128gcm16" || len(p.Transforms) != 3 {
		t.Errorf("with a group of NONE it is called %s; it has %d transforms", got, len(p.Transforms))
	}
}

// TestProposalErrors: the error quotes the proposal, names the keyword, and gives a remedy.
func TestProposalErrors(t *testing.T) {
	for _, c := range []struct {
		parse func(string) (wire.Proposal, error)
		text  string
		want  []string
	}{
		{ParseIKEProposal, "", []string{"empty", "use for example", `"aes256gcm16-prfsha384-x25519"`}},
		{ParseIKEProposal, "aes265gcm16-prfsha384-x25519", []string{`"aes265gcm16"`, `"aes256gcm16"`}},
		{ParseIKEProposal, "aes256gcm16-prfsha384-x25591", []string{`unknown keyword "x25591"`, `did you mean "x25519"?`}},
		{ParseIKEProposal, "aes256gcm16-prfsha384-modp768", []string{`"modp768"`, `"modp`}},
		{ParseIKEProposal, "null-sha256-x25519", []string{`"null"`, "does not encrypt", "aes256gcm16-prfsha384-x25519"}},
		{ParseIKEProposal, "aes128gmac-prfsha256-x25519", []string{`"aes128gmac"`, "does not encrypt"}},
		{ParseIKEProposal, "aes256gcm16--x25519", []string{`unknown keyword ""`, "use for example", "aes256gcm16-prfsha384-x25519"}},
		{ParseIKEProposal, "rot13", []string{`"rot13"`, "aes256gcm16-prfsha384-x25519"}},
		{ParseIKEProposal, strings.Repeat("a", 70000), []string{"unknown keyword"}},
		{ParseIKEProposal, "aes256gcm16-prfsha384-x25519-x25519", []string{`"x25519"`, "repeats", "omit it"}},
		{ParseIKEProposal, "aes256gcm16-aes256gcm128-prfsha384-x25519", []string{`"aes256gcm128"`, "repeats", "omit it"}},
		{ParseIKEProposal, "aes256gcm16-prfsha384-x25519-esn", []string{`"esn" does not apply to IKE`, "omit it"}},
		{ParseIKEProposal, "prfsha384-x25519", []string{"no cipher"}},
		{ParseIKEProposal, "aes256gcm16-x25519", []string{"no PRF", `"prfsha256"`}},
		{ParseIKEProposal, "aes256gcm16-prfsha384", []string{"no key exchange", `"x25519"`}},
		{ParseIKEProposal, "aes256-prfsha384-x25519", []string{"integrity", `"sha256"`}},
		{ParseIKEProposal, "aes256gcm16-sha256-prfsha384-x25519", []string{`"sha256"`, "omit it"}},
		{ParseIKEProposal, "aes256gcm16-aes256-sha256-x25519", []string{`"aes256gcm16"`, `"aes256"`, "use a proposal for each"}},
		{ParseESPProposal, "", []string{"empty", "use for example", `"aes128gcm16"`}},
		{ParseESPProposal, "x25519", []string{"no cipher"}},
		{ParseESPProposal, "aes256", []string{"integrity", `"sha256"`}},
		{ParseESPProposal, "null-x25519", []string{"integrity", `"sha256"`}},
		{ParseESPProposal, "aes256-aes256gcm16-sha256", []string{`"aes256"`, `"aes256gcm16"`, "use a proposal for each"}},
		{ParseESPProposal, "aes128gmac-sha256", []string{`"sha256"`, "omit it"}},
		{ParseESPProposal, "aes128gcm16-sha256", []string{`"sha256"`, "omit it"}},
		{ParseESPProposal, "aes128gcm16-prfsha256", []string{`"prfsha256" does not apply to ESP`, "omit it"}},
		{ParseESPProposal, "aes128gmc16", []string{`"aes128gmc16"`, `"aes128gcm16"`}},
		{ParseESPProposal, "?", []string{`"?"`, "aes128gcm16"}},
	} {
		p, err := c.parse(c.text)
		if err == nil {
			t.Errorf("%q was read as %v", c.text, p)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60q: the error %q does not hold %q", c.text, err, want)
			}
		}
		if len(c.text) < 1000 && !strings.Contains(err.Error(), `"`+c.text+`"`) {
			t.Errorf("%q: the error %q does not quote it", c.text, err)
		}
	}
}
