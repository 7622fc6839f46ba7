package readfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("12345"), 0o640); err != nil {
		t.Fatal(err)
	}
	if data, mode, err := Whole(path, 5); string(data) != "12345" || mode.Perm() != 0o640 || err != nil {
		t.Errorf("%q, mode %04o, %v", data, mode, err)
	}
	for _, c := range []struct {
		path  string
		limit int64
		want  string
	}{
		{path, 4, "is larger than the limit of 4 octets"},
		{dir, 5, "is a folder; a file is needed here"},
		{path + "x", 5, "no such file"},
		{path + "/x", 5, "not a directory"},
	} {
		if _, _, err := Whole(c.path, c.limit); err == nil || Reason(err) != c.want {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
	}
}

func TestPrivate(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o400, 0o700} {
		if err := Private("k", mode); err != nil {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601} {
		if err := Private("k", mode); err == nil {
			t.Errorf("%04o was accepted", mode)
		}
	}
	const want = "must be readable by its owner only, but has mode 0644; run chmod 600 dir/k"
	if err := Private("dir/k", 0o644); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
