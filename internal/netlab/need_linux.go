package netlab

import "os"

// TB is the part of testing.TB that Need and Require use. Programs import this package, and must
// not get the flags of package testing.
type TB interface {
	Helper()
	Fatal(args ...any)
	Skip(args ...any)
	Cleanup(f func())
}

// Need returns a lab that ends with the test. If the machine cannot have one, Need is Require.
func Need(t TB) *Lab {
	t.Helper()
	l, err := New()
	Require(t, err)
	t.Cleanup(l.Close)
	return l
}

// Require skips the test if err is not nil; err names what the machine lacks. Where the tests must
// be complete (CI is set, or CULVERT_E2E is 1) it fails the test instead.
func Require(t TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") != "" || os.Getenv("CULVERT_E2E") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}
