package config

import (
	"strings"
	"testing"
)

// TestWeakAlgorithmsAreNamed in a warning, once each, with file, line and remedy. Others are not.
func TestWeakAlgorithmsAreNamed(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want []string
	}{
		{good, nil},
		{editPeer("name =", "ike_proposals = [\"aes256gcm16-prfsha256-x25519\",\n\"aes128-sha1-modp1024\"]\nname ="), []string{`a.toml:3: peer "right": ike_proposals: "sha1" is SHA-1`, `a.toml:3: peer "right": ike_proposals: "modp1024" is too small`}},
		{editPeer("name =", "ike_proposals = [\"aes128gcm16-prfsha1-modp1536\"]\nname ="), []string{`"prfsha1" is SHA-1`, `"modp1536" is too small`}},
		{withChild(`proposals = ["aes256-sha256-modp2048", "null-sha256"]`), []string{`a.toml:10: peer "right": child "child1": proposals: "null" does not encrypt`}},
		{withChild(`proposals = ["aes128-aes256-sha1"]`), []string{`"sha1" is SHA-1, which is being phased out (RFC 8247); remove it if the peer has another`}},
		{withChild(`proposals = ["aes256gmac"]`), []string{`"aes256gmac" does not encrypt`}},
		{manualWith("null-sha1", "auth_key_out = "+zeros(20)), []string{"manual keys are never renewed", `a.toml:7: peer "m": child "child1": manual: cipher: "null" does not encrypt`, `cipher: "sha1" is SHA-1`}},
		{manualWith("aes128-sha256", "key_out = "+zeros(16)+", auth_key_out = "+zeros(32)), []string{"manual keys are never renewed"}},
	} {
		got := mustLoad(t, c.doc).Warnings
		if len(got) != len(c.want) {
			t.Errorf("%s\ngives %q, want %q", c.doc, got, c.want)
			continue
		}
		for i, w := range got {
			if !strings.Contains(w.Error(), c.want[i]) {
				t.Errorf("got %q, want %q", w, c.want[i])
			}
		}
	}
}
