package hostpolicy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A table of the older iptables is a reason, whatever is in it, and so is a list that cannot be
// read. A kernel without any has no list.
func TestOldTables(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "ip6_tables_names")
	for _, tt := range []struct {
		name string
		make func() error
		want string
	}{
		{"no list", func() error { return nil }, ""},
		{"no tables", func() error { return os.WriteFile(list, nil, 0o600) }, ""},
		{"two tables", func() error { return os.WriteFile(list, []byte("filter\nnat\n"), 0o600) }, "filter, nat"},
		{"a list that cannot be read", func() error { return errors.Join(os.Remove(list), os.Mkdir(list, 0o700)) }, "directory"},
	} {
		if err := tt.make(); err != nil {
			t.Fatal(err)
		}
		err := oldTables(dir)
		if (err != nil) != (tt.want != "") || err != nil && (!errors.Is(err, ErrFirewall) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
