package config

import (
	"errors"
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
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], "a.toml:2: daemon: this table may appear only once, and not in an included file; move its keys to [daemon] in "+dir) {
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
		`b.toml:3: peer "x": name = "x" is already used by the peer at ` + filepath.Join(dir, "a.toml") + ":2; choose another name",
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
		"empty":     "empty: the folder contains no *.toml file; add one, or name a file",
		".":         "b.toml: is a folder; a file is needed here",
	} {
		_, err := Load(filepath.Join(dir, path))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
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

func TestBadLoad(t *testing.T) {
	testBad(t, map[string]bad{
		"syntax":             {"[[peer] # x", []string{"a.toml:1: "}},
		"syntax later":       {good + "x = = 1", []string{"a.toml:10: "}},
		"key twice":          {editPeer(`remote = "192.0.2.2"`, "remote = \"192.0.2.2\"\nremote = \"192.0.2.3\""), []string{"a.toml:4: "}},
		"include of no file": {withDaemon(`include = "other.toml"`), []string{"a.toml:2: daemon: include: other.toml: no such file"}},
		"include pattern":    {withDaemon(`include = "["`), []string{"is not a valid pattern of file names"}},
	})
}

// write makes a folder of files, private ones, and returns its path.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loadText(t *testing.T, content string) (*Config, error) {
	t.Helper()
	return Load(filepath.Join(write(t, map[string]string{"a.toml": content}), "a.toml"))
}

func mustLoad(t *testing.T, content string) *Config {
	t.Helper()
	c, err := loadText(t, content)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// texts are the errors without their folder.
func texts(err error) []string {
	var errs Errors
	if !errors.As(err, &errs) {
		return nil
	}
	var out []string
	for _, e := range errs {
		short := *e
		short.File = filepath.Base(e.File)
		out = append(out, short.Error())
	}
	return out
}
