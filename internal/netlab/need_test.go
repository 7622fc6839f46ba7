//go:build linux

package netlab

import (
	"errors"
	"testing"
)

// verdict is a test that records its outcome.
type verdict struct {
	testing.TB
	is string
}

func (v *verdict) Helper()      {}
func (v *verdict) Fatal(...any) { v.is = "failed" }
func (v *verdict) Skip(...any)  { v.is = "skipped" }

// A lack of the machine skips the test, except where the tests must be complete.
func TestRequire(t *testing.T) {
	lack := errors.New("no namespaces")
	for _, tt := range []struct {
		ci, e2e string
		err     error
		want    string
	}{
		{"", "", lack, "skipped"},
		{"", "0", lack, "skipped"},
		{"true", "", lack, "failed"},
		{"1", "", lack, "failed"},
		{"", "1", lack, "failed"},
		{"", "", nil, ""},
		{"true", "1", nil, ""},
	} {
		t.Setenv("CI", tt.ci)
		t.Setenv("CULVERT_E2E", tt.e2e)
		v := &verdict{TB: t}
		Require(v, tt.err)
		if v.is != tt.want {
			t.Errorf("CI=%s CULVERT_E2E=%s, %v: %q, want %q", tt.ci, tt.e2e, tt.err, v.is, tt.want)
		}
	}
}
