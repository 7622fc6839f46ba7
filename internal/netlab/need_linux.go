package netlab

import "os"

// TB is what Need and Require use of a testing.TB. This package is in programs, where no flags of
// tests belong.
type TB interface {
	Helper()
	Fatal(args ...any)
	Skip(args ...any)
	Cleanup(f func())
}

// Need returns a lab that ends with the test. Where the machine has none to give, it is Require's.
func Need(t TB) *Lab {
	t.Helper()
	l, err := New()
	Require(t, err)
	t.Cleanup(l.Close)
	return l
}

// Require skips the test for err, which says what the machine lacks. Where the tests are meant to
// be complete (CI is set, or CULVERT_E2E is 1) it fails the test. Without an error it does nothing.
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
