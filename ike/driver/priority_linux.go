package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// lowNice is the nice value of the thread for newcomers' computations: it runs when others do not
// need the processor, and still gets about a fortieth of one that is busy.
const lowNice = 15

// lowerPriority lowers the priority of the calling thread. An error leaves it as it is, which costs
// speed at worst.
func lowerPriority() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowNice)
}

// threadTime returns the processor time of the calling thread so far.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}
