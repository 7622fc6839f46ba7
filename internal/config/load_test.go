package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// peerFile is a file with one peer of its own networks.
func peerFile(name, third string) string {
	return strings.NewReplacer(`"right"`, `"`+name+`"`, "right.example.com", name+".example.com", "192.0.2.2", "192.0.2."+third, "10.2.", "10."+third+".").Replace(good)
}

func peerNames(c *Config) []string {
	var out []string
	for _, p := range c.Peers {
		out = append(out, p.Name)
	}
	return out
}

func TestInclude(t *testing.T) {
	dir := write(t, map[string]string{
		"main.toml":      "[daemon]\ninclude = \"peers.d/*.toml\"\n" + peerFile("m", "2"),
		"peers.d/b.toml": peerFile("b", "3"),
		"peers.d/a.toml": peerFile("a", "4"),
		"peers.d/c.text": "no TOML",
	})
	c, err := Load(filepath.Join(dir, "main.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := peerNames(c), []string{"a", "b", "m"}; !slices.Equal(got, want) {
		t.Errorf("got peers %v, want %v", got, want)
	}
	if len(c.Files) != 3 {
		t.Errorf("got files %v, want 3", c.Files)
	}
}

func TestIncludeOfNothing(t *testing.T) {
	mustLoad(t, "[daemon]\ninclude = \"peers.d/*.toml\"\n"+good)
}

func TestDaemonOnlyOnce(t *testing.T) {
	dir := write(t, map[string]string{
		"main.toml":      "[daemon]\ninclude = \"peers.d/*.toml\"\n" + peerFile("m", "2"),
		"peers.d/a.toml": "\n[daemon]\nlog = \"debug\"\n",
	})
	_, err := Load(filepath.Join(dir, "main.toml"))
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], "a.toml:2: daemon: a second [daemon]: there is one already in "+dir) {
		t.Errorf("got %q, want a second [daemon]", got)
	}
}

func TestFolder(t *testing.T) {
	dir := write(t, map[string]string{
		"00-daemon.toml": "[daemon]\nlog = \"warn\"\ninclude = \"*.toml\"\n",
		"a.toml":         peerFile("a", "3"),
		"b.toml":         peerFile("b", "4"),
	})
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := peerNames(c), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got peers %v, want %v", got, want)
	}
}

func TestErrorsNameTheirFile(t *testing.T) {
	dir := write(t, map[string]string{"a.toml": peerFile("x", "3"), "b.toml": "\n" + peerFile("x", "4"), "c.toml": "x = 1\n"})
	_, err := Load(dir)
	got := texts(err)
	want := []string{
		`b.toml:3: peer "x": there is another peer of this name at ` + filepath.Join(dir, "a.toml") + ":2",
		`c.toml:1: unknown key "x"`,
	}
	if len(got) != len(want) || !strings.HasPrefix(got[0], want[0]) || !strings.HasPrefix(got[1], want[1]) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := write(t, map[string]string{"empty/x": "", "b.toml/x": ""})
	for path, want := range map[string]string{
		"none.toml": "none.toml: no such file",
		"empty":     "empty: the folder has no *.toml file",
		".":         "b.toml: is a folder",
	} {
		_, err := Load(filepath.Join(dir, path))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
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
		if len(got) != 1 || !strings.HasPrefix(got[0], `a.toml:6: peer "right": there are secrets in this file`) || !strings.HasSuffix(got[0], ": chmod 600 "+path) {
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
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], "a.toml:6:") || !strings.HasSuffix(got[0], "chmod 600 "+secret) {
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

func FuzzLoad(f *testing.F) {
	f.Add(left)
	f.Add(good)
	f.Add(manualGood)
	f.Add("peer = [{name='a', child=[{local=[\"10.0.0.0/8\"], remote=['''10.0.0.0/9''']}]}]\n[daemon]\nlisten=[]\n")
	f.Add("\"a.b\".'c d' = [[1,2],[\"\"\"x\n\"\"\"]]\n[[x.y]]\n[x.y.z]\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, doc string) {
		if strings.Contains(doc, "include") || strings.Contains(doc, "psk_file") {
			return // these read other files
		}
		path := filepath.Join(dir, "a.toml")
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Skip()
		}
		c, err := Load(path)
		if (c == nil) == (err == nil) {
			t.Fatalf("got both or neither of a configuration and errors: %v", err)
		}
		if err != nil && len(err.(Errors)) == 0 {
			t.Fatal("an error without errors")
		}
	})
}
