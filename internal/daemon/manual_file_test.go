package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culvert/internal/ipsec"
)

// A file that is damaged, or that others may have changed, is not used, and stays as it is: no
// manual SA that sends begins, and the reason names the remedy.
func TestManualFileIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(file string) error
		want  string
	}{
		"damaged":            {func(f string) error { return os.Truncate(f, 40) }, "it is damaged"},
		"empty":              {func(f string) error { return os.Truncate(f, 0) }, "it is damaged"},
		"too long":           {func(f string) error { return os.Truncate(f, maxManualFile+1) }, "it is damaged"},
		"of another version": {func(f string) error { return os.WriteFile(f, []byte("culvert manual-sequences 7\n"), 0o600) }, "another version of culvert wrote it"},
		"writable by others": {func(f string) error { return os.Chmod(f, 0o620) }, "others may have changed it"},
		"a link":             {func(f string) error { os.Rename(f, f+"2"); return os.Symlink(f+"2", f) }, "symbolic links"},
		"a directory":        {func(f string) error { os.Remove(f); return os.Mkdir(f, 0o700) }, "others may have changed it"},
	} {
		k := newKeeping(t)
		k.begin(nil)
		if err := tt.spoil(k.file()); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(k.file())
		k.restart()
		err := k.manualRecorder.begin([]*ipsec.ChildSA{k.sa(nil)})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "new keys on both sides, and then remove the file") {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
		k.keep()
		k.finish()
		if after, _ := os.ReadFile(k.file()); string(after) != string(before) {
			t.Errorf("%s: the file has changed", name)
		}
	}
}

// The file has mode 0600, is made where it is missing, and what a killed daemon left beside it is
// removed.
func TestManualFile(t *testing.T) {
	k := newKeeping(t)
	k.begin(nil)
	if info, err := os.Stat(k.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left := filepath.Join(k.dir, "."+manualFile+"-123")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k.restart()
	k.begin(nil)
	if _, err := os.Stat(left); err == nil {
		t.Error("a half-written file stays")
	}
}

// Two daemons with one directory never use the same numbers: the second has no manual SA.
func TestManualFileHasOneUser(t *testing.T) {
	k := newKeeping(t)
	k.begin(nil)
	other := newManualRecorder(&stateOpener{dir: k.dir}, k.path, k.manualRecorder.log)
	if err := other.begin([]*ipsec.ChildSA{k.sa(nil)}); err == nil || !strings.Contains(err.Error(), "in use by another daemon") {
		t.Errorf("got %v", err)
	}
}
