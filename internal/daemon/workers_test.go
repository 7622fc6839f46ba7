package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"culvert/tun"
)

func TestWorkerCount(t *testing.T) {
	for _, tt := range []struct {
		asked, processors, want int
		warns                   bool
	}{
		{0, 1, 1, false},
		{0, 2, 2, false},
		{0, tun.MaxQueues + 128, tun.MaxQueues, false},
		{1, 8, 1, false},
		{8, 8, 8, false},
		{9, 8, 8, true},
		{2, 1, 2, false},
		{3, 1, 2, true},
		{64, 2, 2, true},
	} {
		var out bytes.Buffer
		if got := workerCount(tt.asked, tt.processors, slog.New(slog.NewTextHandler(&out, nil))); got != tt.want {
			t.Errorf("%d asked for on %d processors: %d, want %d", tt.asked, tt.processors, got, tt.want)
		}
		if warned := strings.Contains(out.String(), "workers-capped"); warned != tt.warns {
			t.Errorf("%d asked for on %d processors: said %q", tt.asked, tt.processors, out.String())
		}
	}
}

// TestProcessorsAreTheRuntimes: processors is the runtime's value at the start, which respects the
// cgroup's quota and GOMAXPROCS, not the CPUs of the machine or the value that Run sets.
func TestProcessorsAreTheRuntimes(t *testing.T) {
	const variable = "CULVERT_TEST_PROCESSORS"
	if os.Getenv(variable) != "" {
		if processors != 5 {
			t.Errorf("%d processors, GOMAXPROCS says 5", processors)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessorsAreTheRuntimes$")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=5", variable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
