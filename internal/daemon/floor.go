package daemon

import (
	"errors"
	"fmt"
	"io"
)

// A build with -tags floor runs only where the environment holds FloorVariable=FloorConsent, which the benchmark harness sets for it.
const (
	FloorVariable = "CULVERT_FLOOR"
	FloorConsent  = "this-build-encrypts-nothing"
	FloorWarning  = "A BENCHMARK BUILD THAT ENCRYPTS NOTHING"
)

var errFloor = errors.New("this is " + FloorWarning + ": only the benchmark harness may run it; build culvert without -tags floor")

// checkFloor refuses a build that encrypts nothing unless its environment consents, and then says loudly what it is.
func checkFloor(floor bool, consent string, stderr io.Writer) error {
	if !floor {
		return nil
	}
	if consent != FloorConsent {
		return errFloor
	}
	fmt.Fprintf(stderr, "\n*** %s: whatever is sent through this tunnel can be read and changed by anybody ***\n\n", FloorWarning)
	return nil
}
