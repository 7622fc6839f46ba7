package wire

import (
	"errors"
	"testing"
)

func wantError(t *testing.T, err error, notify NotifyType, what string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: got error %v, want an *Error", what, err)
	}
	if e.Notify != notify {
		t.Errorf("%s: got %v (%v), want %v", what, e.Notify, e, notify)
	}
}
