package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBadSecrets(t *testing.T) {
	testBad(t, map[string]bad{
		"no psk":            {editPeer("psk = \"correct horse battery staple\"\n", ""), []string{`a.toml:1: peer "right": psk is missing; set psk = "...", or set psk_file`}},
		"empty psk":         {editPeer(`"correct horse battery staple"`, `""`), []string{`a.toml:6: peer "right": psk: the secret is empty; set it`}},
		"bad hex":           {editPeer(`"correct horse battery staple"`, `"0xsecret"`), []string{`psk: 0x must be followed by an even number of hexadecimal digits`}},
		"no secret in list": {editPeer(`"correct horse battery staple"`, `[]`), []string{`a.toml:6: peer "right": psk is empty; list at least one secret`}},
		"five secrets":      {editPeer(`"correct horse battery staple"`, `["1", "2", "3", "4", "5"]`), []string{`a.toml:6: peer "right": psk lists 5 secrets; use at most 4`}},
		"bad in a list":     {editPeer(`"correct horse battery staple"`, `["correct horse battery staple", "0xsecret"]`), []string{`psk: 0x must be followed by an even number of hexadecimal digits`}},
		"bad base64":        {editPeer(`"correct horse battery staple"`, `"0s***"`), []string{`psk: 0s must be followed by base64`}},
		"two secrets":       {editPeer(`psk =`, "psk_file = \"x\"\npsk ="), []string{`a.toml:6: peer "right": psk and psk_file are both set; remove one of them`}},
		"no secret file":    {editPeer(`psk = "correct horse battery staple"`, `psk_file = "none.psk"`), []string{`none.psk: no such file`}},
		"empty secret file": {editPeer(`psk = "correct horse battery staple"`, `psk_file = ""`), []string{`psk_file is empty; give the name of a file`}},
	})
}

// TestParseSecret reads each form of a secret: text, hexadecimal, base64, and text that begins as
// one of the other forms does.
func TestParseSecret(t *testing.T) {
	for value, want := range map[string]string{
		"a secret": "a secret", "0x6162": "ab", "0sYWI=": "ab", "0t0x6162": "0x6162", "0t0sYWI=": "0sYWI=", "0t0t": "0t", "0": "0",
	} {
		if got, err := parseSecret(value); err != nil || string(got) != want {
			t.Errorf("parseSecret(%q) = %q, %v; want %q", value, got, err, want)
		}
	}
	if _, err := parseSecret("0t"); err == nil {
		t.Error("0t without a text is a secret")
	}
}

func TestSecretsAreForTheirOwner(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": good + "\n" + peerFile("other", "3")})
	path := filepath.Join(dir, "a.toml")
	for mode, bad := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if !bad {
			if err != nil {
				t.Errorf("mode %o: got %v, want no error", mode, err)
			}
			continue
		}
		// One error for the file, not one for each secret.
		got := texts(err)
		if len(got) != 1 || !strings.HasPrefix(got[0], `a.toml:6: peer "right": this file contains secrets and must be readable by its owner only`) || !strings.HasSuffix(got[0], "; run chmod 600 "+path) {
			t.Errorf("mode %o: got %q, want the chmod that mends it", mode, got)
		}
	}
}

func TestFileWithoutSecretsMayBeRead(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": strings.Replace(good, `psk = "correct horse battery staple"`, `psk_file = "s/hq.psk"`, 1), "s/hq.psk": "correct horse battery staple\n"})
	path := filepath.Join(dir, "a.toml")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Peers[0].PSK); got != "correct horse battery staple" {
		t.Errorf("got secret %q, want it without the line end", got)
	}
	secret := filepath.Join(dir, "s/hq.psk")
	if err := os.Chmod(secret, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path)
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], "a.toml:6:") || !strings.HasSuffix(got[0], "; run chmod 600 "+secret) {
		t.Errorf("got %q, want the chmod that mends the secret's file", got)
	}
}

func TestManualKeysAreSecretsToo(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": manualGood})
	path := filepath.Join(dir, "a.toml")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], "a.toml:7: ") {
		t.Errorf("got %q, want one error at the manual keys", got)
	}
}

func TestShortSecretIsAWarning(t *testing.T) {
	c := mustLoad(t, strings.Replace(left, "correct horse battery staple", "secret", 1))
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Error(), `a.toml:6: peer "right": psk is short`) {
		t.Errorf("got %v, want one about a short psk", c.Warnings)
	}
}

// While a secret is replaced, psk lists it and its successor: the first is used.
func TestSecretsInAList(t *testing.T) {
	c := mustLoad(t, strings.Replace(left, `"correct horse battery staple"`, `["0x6e657720736563726574206f6620686578", "correct horse battery staple"]`, 1))
	p := c.Peers[0]
	if string(p.PSK) != "new secret of hex" || len(p.OtherPSKs) != 1 || string(p.OtherPSKs[0]) != "correct horse battery staple" || len(c.Warnings) != 0 {
		t.Errorf("got %q, then %q, and warnings %v", p.PSK, p.OtherPSKs, c.Warnings)
	}
}
