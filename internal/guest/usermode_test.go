package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A kernel that was built with the present settings is taken as it is; one with others is not.
func TestUserModeFromTheCache(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "trixie-linux-source-um")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nothing can be run
	sources := Debian{Suite: "trixie", Package: "linux-source"}
	for text, want := range map[string]bool{
		"6.12.1\n" + wantBuilt: true, "6.12.1\n" + wantBuilt + "CONFIG_X=y\n": false, "6.12.1\n": false, "": false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "built"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		k, err := UserMode(ended, cache, sources, io.Discard)
		if (err == nil) != want {
			t.Errorf("%d octets: %v, want a kernel: %v", len(text), err, want)
		}
		if is := (Kernel{Release: "6.12.1", Image: filepath.Join(dir, "linux"), UserMode: true}); want && k != is {
			t.Errorf("got %+v, want %+v", k, is)
		}
	}
}

// make leaves out what it cannot have, without a word.
func TestConfigured(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".config")
	if err := configured(path); err == nil {
		t.Error("a configuration that is missing has all")
	}
	for text, want := range map[string]string{
		userModeConfig: "",
		strings.Replace(userModeConfig, "CONFIG_INET_ESP=y\n", "# CONFIG_INET_ESP is not set\n", 1): "CONFIG_INET_ESP=y",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := configured(path); (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Other sources are refused rather than built without the changes.
func TestChange(t *testing.T) {
	source := t.TempDir()
	write := func(at int, text string) {
		path := filepath.Join(source, changes[at].file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if change(source) == nil {
		t.Error("sources that are missing were changed")
	}
	for i, c := range changes {
		write(i, "a"+c.begin+"b")
	}
	if err := change(source); err != nil {
		t.Fatal(err)
	}
	for i, c := range changes {
		if got, _ := os.ReadFile(filepath.Join(source, c.file)); string(got) != "a"+c.begin+c.more+"b" {
			t.Errorf("%s became %q", c.file, got)
		}
		write(i, "other")
		if change(source) == nil {
			t.Errorf("another %s was taken", c.file)
		}
		write(i, c.begin)
	}
}

// The kernel's memory, its files and ports are those of a machine; its clock is its own.
func TestUserModeCommand(t *testing.T) {
	dir := t.TempDir()
	m := Machine{Kernel: Kernel{Image: "/k/linux", UserMode: true}, Memory: 512}
	cmd, err := m.command(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/k/linux", "mem=512M", "initrd=" + dir + "/initrd", "time-travel", "ssl1=null,fd:1"} {
		if !slices.Contains(cmd.Args, want) {
			t.Errorf("%v lacks %s", cmd.Args, want)
		}
	}
	if len(cmd.ExtraFiles) != 2 || cmd.ExtraFiles[0].Name() != filepath.Join(dir, "console") || cmd.ExtraFiles[1].Name() != filepath.Join(dir, "status") {
		t.Errorf("further files %v", cmd.ExtraFiles)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
}
