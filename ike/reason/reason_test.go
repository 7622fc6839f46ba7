package reason

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"culvert/ike/wire"
)

// TestTroubleIsBounded: whatever the facts hold, the words are escaped and bounded.
func TestTroubleIsBounded(t *testing.T) {
	evil := strings.Repeat("\x1b[2J\n\u202e", 10_000)
	f := Facts{
		Cause: Rejected, From: "192.0.2.1", In: wire.IKEAuth, Answer: wire.AuthenticationFailed, Rekey: true, Why: evil,
		Ours: Offer{ID: evil, Proof: evil, Expects: evil}, Theirs: Offer{ID: evil, Proof: evil}, Details: slices.Repeat([]string{evil}, 100),
	}
	got := f.Trouble()
	if len(got.Explain) != MaxLines || len(got.Reason) > MaxText+40 || !strings.HasPrefix(got.Reason, `192.0.2.1: rekeying failed: \x1b[2J\n\u202e`) {
		t.Errorf("%d lines, and %q", len(got.Explain), got.Reason)
	}
	for _, line := range append(got.Explain, got.Reason) {
		if len(line) > MaxLine+20 || strings.ContainsAny(line, "\x1b\n\u202e") {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
	}
}

// TestErr: the error of a command is the first line behind what it is about.
func TestErr(t *testing.T) {
	err := Err(Trouble{Cause: PFS, Reason: "it differs", Explain: []string{"more"}}, "child: ")
	var e *Error
	if err.Error() != "child: it differs" || !errors.As(err, &e) || e.Cause != PFS || len(e.Explain) != 1 {
		t.Errorf("got %v, %+v", err, e)
	}
}

// TestBare: what Rekey and From put in front is only in the Trouble.
func TestBare(t *testing.T) {
	f := Facts{Cause: Own, From: "192.0.2.1", Rekey: true, Why: "no key"}
	if f.Bare() != "no key" || f.Trouble().Reason != "192.0.2.1: rekeying failed: no key" {
		t.Errorf("got %q and %q", f.Bare(), f.Trouble().Reason)
	}
}
