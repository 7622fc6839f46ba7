package guest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLibraries(t *testing.T) {
	text := "\tlinux-vdso.so.1 (0x00007ffd4a5f2000)\n" +
		"\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f2c1a000000)\n" +
		"\tlibmissing.so.3 => not found\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f2c1a3c5000)\n"
	want := []string{"/lib/x86_64-linux-gnu/libnftables.so.1", "/lib64/ld-linux-x86-64.so.2"}
	if got := libraries(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWanted(t *testing.T) {
	for name, want := range map[string]bool{
		"modules.dep":                                  true,
		"build":                                        false,
		"kernel/net/netfilter/nf_tables.ko":            true,
		"kernel/net/sched/act_bpf.ko.xz":               true,
		"kernel/drivers/net/veth.ko":                   true,
		"kernel/drivers/net/ppp/ppp_generic.ko":        true,
		"kernel/drivers/net/ethernet/intel/igb/igb.ko": false,
		"kernel/drivers/gpu/drm/drm.ko":                false,
		"kernel/fs/ext4/ext4.ko":                       false,
		"kernel/netfoo/x.ko":                           false,
	} {
		if got := wanted(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// A tree has the wanted files, folders and links below a folder, and nothing else.
func TestTree(t *testing.T) {
	source := t.TempDir()
	for _, name := range []string{"usr/bin/a", "usr/share/b", "etc/c"} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(source, "bin")); err != nil {
		t.Fatal(err)
	}
	f := NewFiles()
	if err := f.Tree("/at", source, func(name string) bool { return name != "usr/share" && name != "etc/c" }); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := f.write(&archive); err != nil {
		t.Fatal(err)
	}
	want := "at 40755 \nat/bin 120777 usr/bin\nat/etc 40755 \nat/usr 40755 \nat/usr/bin 40755 \nat/usr/bin/a 100755 usr/bin/a"
	if got := strings.Join(members(t, archive.Bytes()), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := f.Tree("/at", filepath.Join(source, "missing"), func(string) bool { return true }); err == nil {
		t.Error("a folder that is missing was added")
	}
}
