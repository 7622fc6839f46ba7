package daemon

import (
	"fmt"
	"log/slog"
	"runtime"

	"culvert/tun"
)

// processors is how many CPUs this process may keep busy: those that the machine and its affinity
// give it, or fewer by the CPU quota of its cgroup, which the runtime rounds up to whole ones, two
// at least; or what GOMAXPROCS says in its environment. Run raises GOMAXPROCS, so it is asked at
// the start.
var processors = runtime.GOMAXPROCS(0)

// minWorkerCap is how many workers one may always ask for: what Go, too, takes a quota below two
// for.
const minWorkerCap = 2

// workerCount returns how many workers there are if so many are asked for, 0 being one for each
// processor. More than there are processors would only take them from each other, each with its
// SAs' turns in its hands (64 on two: 0.4 of the throughput).
func workerCount(asked, processors int, log *slog.Logger) int {
	if asked == 0 {
		asked = processors
	} else if most := max(processors, minWorkerCap); asked > most {
		log.Warn(fmt.Sprintf("[daemon] workers = %d is more than the %d CPUs that this process may use: it has %d workers; "+
			"leave workers out to have one for each CPU, or set GOMAXPROCS in its environment to insist", asked, processors, most), "event", "workers-capped")
		asked = most
	}
	return min(asked, tun.MaxQueues)
}
