package daemon

import (
	"fmt"
	"log/slog"
	"runtime"

	"culvert/tun"
)

// processors is the number of CPUs that this process may keep busy: those of the machine and its
// affinity, or fewer by the CPU quota of its cgroup, which the runtime rounds up to whole ones and
// to at least two; or the value of GOMAXPROCS in the environment. It is read at the start, because
// Run raises GOMAXPROCS.
var processors = runtime.GOMAXPROCS(0)

// minWorkerCap is the number of workers that is always allowed: the runtime raises a smaller quota
// to it as well.
const minWorkerCap = 2

// workerCount returns the number of workers for a configured number; 0 means one for each
// processor. More workers than processors would only take CPU time from each other, each while it
// holds its SAs' turns (64 on two processors: 0.4 of the throughput).
func workerCount(asked, processors int, log *slog.Logger) int {
	if asked == 0 {
		asked = processors
	} else if most := max(processors, minWorkerCap); asked > most {
		log.Warn(fmt.Sprintf("[daemon] workers = %d is more than the %d CPUs that this process may use: there are %d workers; "+
			"omit workers for one on each CPU, or set GOMAXPROCS in the environment to insist", asked, processors, most), "event", "workers-capped")
		asked = most
	}
	return min(asked, tun.MaxQueues)
}
