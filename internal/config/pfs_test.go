package config

import (
	"slices"
	"testing"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// TestPFS reads the proposals that each value of pfs leaves, with the default ones and with those
// of the file.
func TestPFS(t *testing.T) {
	groups := "-x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"
	all, cbc := "aes128gcm16-aes256gcm16-aes192gcm16-chacha20poly1305", "aes128-aes256-aes192-sha256-sha512-sha384"
	for _, c := range []struct {
		pfs, proposals string
		want           []string
	}{
		{"", "", []string{all + groups, all, cbc + groups, cbc}},
		{"auto", "", []string{all + groups, all, cbc + groups, cbc}},
		{"require", "", []string{all + groups, cbc + groups}},
		{"off", "", []string{all, cbc}},
		{"auto", `["aes256gcm16-ecp256", "aes128gcm16"]`, []string{"aes256gcm16-ecp256", "aes128gcm16"}},
		{"require", `["aes256gcm16-ecp256", "aes128gcm16"]`, []string{"aes256gcm16-ecp256", "aes128gcm16" + groups}},
		{"off", `["aes256gcm16-ecp256", "aes256gcm16", "aes128gcm16"]`, []string{"aes256gcm16", "aes128gcm16"}},
	} {
		text := good
		if c.pfs != "" {
			text = editPeer(`name =`, "pfs = \""+c.pfs+"\"\nname =")
		}
		if c.proposals != "" {
			text += "proposals = " + c.proposals + "\n"
		}
		var want []wire.Proposal
		for _, p := range c.want {
			parsed, err := suite.ParseESPProposal(p + "-esn-noesn")
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, parsed)
		}
		cfg, err := loadText(t, text)
		if err != nil {
			t.Fatal(err)
		}
		got := cfg.Peers[0].Children[0].Proposals
		if !slices.EqualFunc(got, want, func(a, b wire.Proposal) bool { return slices.Equal(a.Transforms, b.Transforms) }) {
			t.Errorf("pfs %q with %q: %v, want %v", c.pfs, c.proposals, got, want)
		}
	}
	testBad(t, map[string]bad{
		"pfs": {editPeer(`name =`, "pfs = \"yes\"\nname ="), []string{`pfs = "yes" is not valid; use one of auto, require, off`}},
	})
}
