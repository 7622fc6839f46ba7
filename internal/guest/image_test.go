package guest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// members reads an archive by the format's definition: the name, mode and text of each member, in
// their order.
func members(t *testing.T, archive []byte) (out []string) {
	t.Helper()
	for {
		if len(archive) < 110 || string(archive[:6]) != "070701" {
			t.Fatalf("not a header: %q", archive[:min(len(archive), 110)])
		}
		var field [13]int
		for i := range field {
			if _, err := fmt.Sscanf(string(archive[6+8*i:14+8*i]), "%08x", &field[i]); err != nil {
				t.Fatal(err)
			}
		}
		mode, size, nameSize := field[1], field[6], field[11]
		name := string(archive[110 : 110+nameSize-1])
		if archive[110+nameSize-1] != 0 {
			t.Fatalf("the name %q has no end", name)
		}
		archive = archive[(110+nameSize+3)/4*4:]
		if name == "TRAILER!!!" {
			if len(archive) != 0 {
				t.Errorf("%d octets behind the end", len(archive))
			}
			return out
		}
		out = append(out, fmt.Sprintf("%s %o %s", name, mode, archive[:size]))
		archive = archive[(size+3)/4*4:]
	}
}

func TestWrite(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("abcde"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := NewFiles()
	f.Text("/etc/hosts", 0o644, "old")
	f.Text("/etc/hosts", 0o600, "new")
	f.Link("/bin/sh", "busybox")
	f.Folder("/proc")
	if err := f.Host("/a/b/../c/program", source); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := f.write(&archive); err != nil {
		t.Fatal(err)
	}
	want := "a 40755 \na/c 40755 \na/c/program 100755 abcde\nbin 40755 \nbin/sh 120777 busybox\netc 40755 \netc/hosts 100600 new\nproc 40755 "
	if got := strings.Join(members(t, archive.Bytes()), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := os.WriteFile(source, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := member(&archive, 1, kindFile, "x", 3, strings.NewReader("ab")); err == nil {
		t.Error("a file that became shorter meanwhile was written")
	}
}

func TestFilesOfThisHost(t *testing.T) {
	f := NewFiles()
	if err := f.Host("/x", t.TempDir()); err == nil {
		t.Error("a folder was taken for a file")
	}
	if err := f.Host("/x", filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is missing was added")
	}
	copied := f.clone()
	copied.Text("/y", fs.FileMode(0o644), "")
	if len(f.entries) != 0 || len(copied.entries) != 1 {
		t.Errorf("the clone is not one: %v, %v", f.entries, copied.entries)
	}
}
