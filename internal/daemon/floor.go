package daemon

import (
	"errors"
	"fmt"
	"io"
)

// A build with -tags floor runs only if the environment has FloorVariable=FloorConsent, which the
// benchmark harness sets.
const (
	FloorVariable = "CULVERT_FLOOR"
	FloorConsent  = "this-build-encrypts-nothing"
	FloorWarning  = "A BENCHMARK BUILD THAT ENCRYPTS NOTHING"
)

var errFloor = errors.New("this is " + FloorWarning + ": only the benchmark harness may run it; build culvert without -tags floor")

// checkFloor refuses a build that encrypts nothing unless its environment consents; then it prints
// a warning.
func checkFloor(floor bool, consent string, stderr io.Writer) error {
	if !floor {
		return nil
	}
	if consent != FloorConsent {
		return errFloor
	}
	fmt.Fprintf(stderr, "\n*** %s: anybody can read and change the traffic of this tunnel ***\n\n", FloorWarning)
	return nil
}
