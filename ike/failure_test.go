package ike

import (
	"errors"
	"testing"

	"culvert/ike/wire"
)

// The two kinds of refusal: one is answered with a notify and leaves the IKE SA, the other ends it.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		err   error
		kind  wire.NotifyType
		fatal bool
	}{
		{refuse(wire.NoProposalChosen, "for the test"), wire.NoProposalChosen, false},
		{fatal(wire.InvalidSyntax, "for the test"), wire.InvalidSyntax, true},
	} {
		var stays *notifyError
		var ends *fatalError
		if errors.As(tt.err, &stays) == tt.fatal || errors.As(tt.err, &ends) != tt.fatal {
			t.Fatalf("%v: fatal %v", tt.kind, !tt.fatal)
		}
		n := &wire.Notify{}
		if tt.fatal {
			n = ends.notify
		} else {
			n = stays.notify
		}
		if n.Kind != tt.kind || len(n.Data) != 0 || len(n.SPI) != 0 || tt.err.Error() != "for the test" {
			t.Errorf("%v: the notify is %v, the text %q", tt.kind, n, tt.err)
		}
	}
}
