package house

import (
	"go/ast"
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// apart are the folders whose code is tested as a whole, by running it, or is itself for tests.
var apart = []string{"bench", "cmd", "internal/certtest", "internal/demo", "internal/e2e", "internal/guest/cmd", "internal/interop/cmd", "internal/mutate/cmd", "internal/packettest", "ike/adversary", "ike/proposal/proposaltest"}

// leastCode is how many statements the functions of a file have that needs a test of its own name:
// fewer are a declaration, or one call of the system.
const leastCode = 3

// A file with code has its test beside it, under its name: x.go in x_test.go, and what is for one
// system, x_linux.go, in x_linux_test.go or x_test.go. Files for other systems are not looked at.
func TestFilesHaveTheirTests(t *testing.T) {
	here := build.Default
	here.GOOS, here.GOARCH, here.BuildTags = "linux", "amd64", nil
	looked := 0
	for _, f := range sources(t) {
		if f.test || isApart(f.dir) || code(f.ast) < leastCode {
			continue
		}
		if ok, err := here.MatchFile(filepath.Split(f.path)); err != nil || !ok {
			continue
		}
		looked++
		if names := testNames(f.path); !slices.ContainsFunc(names, exists) {
			t.Errorf("%s has code and no test of its name: %s", f.path, filepath.Base(names[len(names)-1]))
		}
	}
	if looked < 250 {
		t.Errorf("only %d files were looked at", looked)
	}
}

func isApart(dir string) bool {
	return slices.ContainsFunc(apart, func(a string) bool { return dir == a || strings.HasPrefix(dir, a+"/") })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// testNames returns where the test of a file may stand.
func testNames(path string) []string {
	own := strings.TrimSuffix(path, ".go")
	plain := strings.TrimSuffix(strings.TrimSuffix(own, "_amd64"), "_linux")
	return []string{own + "_test.go", plain + "_linux_test.go", plain + "_test.go"}
}

// code returns the number of statements in the functions of a file, those inside others not
// counted.
func code(f *ast.File) (n int) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			n += len(fn.Body.List)
		}
	}
	return n
}

func TestTestNames(t *testing.T) {
	for path, want := range map[string]string{
		"a/x.go":             "a/x_test.go a/x_linux_test.go a/x_test.go",
		"a/x_linux.go":       "a/x_linux_test.go a/x_linux_test.go a/x_test.go",
		"a/x_linux_amd64.go": "a/x_linux_amd64_test.go a/x_linux_test.go a/x_test.go",
		"a/x_amd64.go":       "a/x_amd64_test.go a/x_linux_test.go a/x_test.go",
	} {
		if got := strings.Join(testNames(path), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
