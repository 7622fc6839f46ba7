package bench

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is started while the process is confined has as many CPUs, and afterwards all of them again.
func TestConfine(t *testing.T) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	procs := runtime.GOMAXPROCS(0)
	offered := func() string {
		out, err := exec.Command("nproc").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	all := offered()
	restore, err := confine(1)
	if err != nil {
		t.Fatal(err)
	}
	if n := offered(); n != "1" || runtime.GOMAXPROCS(0) != 1 {
		t.Errorf("%s CPUs for a child, %d for this process", n, runtime.GOMAXPROCS(0))
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	if n := offered(); n != all || runtime.GOMAXPROCS(0) != procs {
		t.Errorf("afterwards %s CPUs and %d, want %s and %d", n, runtime.GOMAXPROCS(0), all, procs)
	}
	if _, err := confine(before.Count() + 1); err == nil {
		t.Error("more CPUs than there are")
	}
}
