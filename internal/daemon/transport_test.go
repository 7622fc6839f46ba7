package daemon

import (
	"errors"
	"fmt"
	"testing"

	"culvert/dataplane/netio"
	"culvert/ike/driver"
)

// A missing route is the driver's ErrNoRoute, and every other error stays as it is.
func TestSendError(t *testing.T) {
	gone := fmt.Errorf("%w: 192.0.2.1", netio.ErrNoRoute)
	if err := sendError(gone); !errors.Is(err, driver.ErrNoRoute) || !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	for _, want := range []error{nil, netio.ErrTooBig} {
		if err := sendError(want); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
