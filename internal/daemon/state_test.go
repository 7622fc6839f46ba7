package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culvert/internal/config"
)

func mustOpen(t *testing.T, dir string) *stateDir {
	t.Helper()
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// The secret outlasts the daemon, is readable by its owner only, and differs from host to host.
func TestCrashSecretIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "culvert")
	first := mustOpen(t, dir)
	if len(first.secret) != crashSecretLen || bytes.Equal(first.secret, make([]byte, crashSecretLen)) {
		t.Fatalf("the secret is %x", first.secret)
	}
	first.close()
	if again := mustOpen(t, dir); !bytes.Equal(again.secret, first.secret) {
		t.Error("the secret has changed")
	}
	if other := mustOpen(t, t.TempDir()); bytes.Equal(other.secret, first.secret) {
		t.Error("two hosts have the same secret")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("the directory contains %v, %v", files, err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, crashSecretFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
}

// Two daemons that run at once never share a secret.
func TestCrashSecretHasOneUser(t *testing.T) {
	dir := t.TempDir()
	first := mustOpen(t, dir)
	if s, err := openState(dir); err == nil || !strings.Contains(err.Error(), "in use by another daemon") {
		t.Fatalf("a second daemon gets %v, %v", s, err)
	}
	first.close()
	mustOpen(t, dir)
}

// A directory or file that others may have read or replaced is refused, and stays as it is.
func TestCrashSecretIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(dir, file string) error
		want  string
	}{
		"readable by others":   {func(_, file string) error { return os.Chmod(file, 0o640) }, "has mode 0640; remove it"},
		"writable directory":   {func(dir, _ string) error { return os.Chmod(dir, 0o770) }, "has mode 0770; run chown and chmod 700"},
		"too short":            {func(_, file string) error { return os.Truncate(file, 31) }, "has 31 octets, not 32; remove it"},
		"empty":                {func(_, file string) error { return os.Truncate(file, 0) }, "has 0 octets"},
		"too long":             {func(_, file string) error { return os.WriteFile(file, make([]byte, 33), 0o600) }, "has 33 octets"},
		"a directory":          {func(_, file string) error { os.Remove(file); return os.Mkdir(file, 0o700) }, "is not a file of this user"},
		"a link":               {func(_, file string) error { os.Rename(file, file+"2"); return os.Symlink(file+"2", file) }, "too many levels of symbolic links"},
		"not a directory":      {func(dir, _ string) error { os.RemoveAll(dir); return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
		"not to be written in": {func(dir, _ string) error { os.RemoveAll(dir); return os.Symlink("/proc/self/nowhere", dir) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			file := filepath.Join(dir, crashSecretFile)
			mustOpen(t, dir).close()
			if err := tt.spoil(dir, file); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(file)
			if s, err := openState(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("openState: %v, %v; want %q", s, err, tt.want)
			}
			if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
				t.Error("the file has changed")
			}
		})
	}
}

// Without a usable directory the daemon says so once, and takes the tokens of others only.
func TestCrashTokensWithoutState(t *testing.T) {
	var out bytes.Buffer
	p := &parts{log: slog.New(slog.NewTextHandler(&out, nil)), state: &stateOpener{dir: "/proc/nowhere"}}
	if c := p.crashTokens(&config.Daemon{State: "/proc/nowhere"}); c.Secret != nil || c.Off {
		t.Errorf("there are %+v", c)
	}
	if n := strings.Count(out.String(), "event=no-crash-tokens"); n != 1 || !strings.Contains(out.String(), "state=/proc/nowhere") {
		t.Errorf("the log is %q", out.String())
	}
	if c := p.crashTokens(&config.Daemon{State: t.TempDir(), NoCrashTokens: true}); c.Secret != nil || !c.Off {
		t.Errorf("turned off, there are %+v", c)
	}
	p.state = &stateOpener{dir: t.TempDir()}
	c := p.crashTokens(&config.Daemon{State: p.state.dir})
	defer p.state.close()
	if len(c.Secret) != crashSecretLen || c.Off || strings.Contains(out.String(), string(c.Secret)) {
		t.Errorf("there are %d octets, log %q", len(c.Secret), out.String())
	}
}
