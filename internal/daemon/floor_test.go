package daemon

import (
	"errors"
	"strings"
	"testing"
)

func TestFloorBuildNeedsConsent(t *testing.T) {
	for _, tt := range []struct {
		floor   bool
		consent string
		err     error
		loud    bool
	}{
		{false, "", nil, false},
		{false, FloorConsent, nil, false},
		{true, "", errFloor, false},
		{true, "1", errFloor, false},
		{true, FloorConsent, nil, true},
	} {
		var out strings.Builder
		err := checkFloor(tt.floor, tt.consent, &out)
		if !errors.Is(err, tt.err) || strings.Contains(out.String(), FloorWarning) != tt.loud {
			t.Errorf("floor %v, consent %q: got %v, %q", tt.floor, tt.consent, err, out.String())
		}
	}
}
