package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// lowerPriority lowers the priority of the calling thread. An error leaves it as it is, which costs
// speed at worst.
func lowerPriority(nice int) {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice)
}

// threadTime returns the processor time of the calling thread so far.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}
