package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/certtest"
)

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "left.toml")
	doc := "[[peer]]\nname = \"right\"\nremote = \"192.0.2.2\"\nlocal_id = \"left\"\npsk = \"short\"\n[[peer.child]]\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := culvert("check", "--config", path)
	if status != 0 || stdout != "ok: 1 peer, 1 child\n" || !strings.HasPrefix(stderr, "warning: "+path+`:5: peer "right": psk is short`) {
		t.Errorf("got %d, %q, %q", status, stdout, stderr)
	}
	// A local network that no host has a way to: TEST-NET-3.
	far := strings.Replace(doc, "10.1.0.0/16", "203.0.113.0/24", 1)
	for _, tt := range []struct {
		flag  string
		lines int
	}{{"--elsewhere=false", 2}, {"--elsewhere", 1}} {
		if err := os.WriteFile(path, []byte(far), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr = culvert("check", tt.flag, "--config", path)
		if got := strings.Count(stderr, "\n"); status != 0 || stdout == "" || got != tt.lines || (got == 2) != strings.Contains(stderr, `:7: peer "right": child "child1": local 203.0.113.0/24: this host has no address in it`) {
			t.Errorf("%s: got %d, %q, %q", tt.flag, status, stdout, stderr)
		}
	}
	doc = strings.Replace(doc, "remote =", "remotee =", 1) + "start = \"now\"\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = culvert("check", "--config", path)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if status != 1 || stdout != "" || len(lines) != 2 || lines[0] != path+`:3: peer "right": unknown key "remotee": did you mean "remote"?` {
		t.Errorf("got %d, %q, %q", status, stdout, stderr)
	}
}

// A certificate of ours that has expired is an error of check, and one that will soon a warning.
func TestCheckOfCertificates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "left.toml")
	doc := "[[peer]]\nname = \"right\"\nremote = \"192.0.2.2\"\ncert = \"left.crt\"\nkey = \"left.key\"\nca = \"left.crt\"\n[[peer.child]]\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	for left, want := range map[time.Duration]struct {
		status int
		text   string
	}{
		-time.Hour:      {1, path + ":4: the certificate of "},
		10 * time.Hour:  {0, "warning: " + path + ":4: the certificate of "},
		900 * time.Hour: {0, ""},
	} {
		certtest.CA(t, "left", "p256", nil, certtest.Validity(certtest.Start, time.Now().Add(left))).Write(t, dir, "left")
		status, _, stderr := culvert("check", "--elsewhere", "--config", path)
		if status != want.status || !strings.Contains(stderr, want.text) || (want.text == "") != (stderr == "") {
			t.Errorf("%v: got %d, %q; want %d, %s", left, status, stderr, want.status, want.text)
		}
	}
}
