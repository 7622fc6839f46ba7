package mutate

import "testing"

func TestUnrun(t *testing.T) {
	p, err := parseProfile("mode: set\nm/p/a.go:3.10,5.2 2 1\nm/p/a.go:4.5,4.20 1 0\nm/p/a.go:7.10,9.2 1 0\nm/p/b.go:3.10,5.2 1 0\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file         string
		line, column int
		want         bool
	}{
		{"/x/a.go", 3, 10, false},
		{"/x/a.go", 4, 6, false}, // in two blocks, of which one is run
		{"/x/a.go", 7, 9, false}, // before the block
		{"/x/a.go", 7, 10, true},
		{"/x/a.go", 8, 1, true},
		{"/x/a.go", 9, 1, true},
		{"/x/a.go", 9, 2, false}, // behind it
		{"/x/b.go", 4, 1, true},
		{"/x/c.go", 4, 1, false},
	} {
		if got := p.unrun(Mutant{File: tt.file, Line: tt.line, Column: tt.column}); got != tt.want {
			t.Errorf("%s:%d:%d: got %v, want %v", tt.file, tt.line, tt.column, got, tt.want)
		}
	}
	for _, bad := range []string{"a.go", "a.go:1.2,3.4 5", "a.go:1,3 5 6"} {
		if _, err := parseProfile(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
