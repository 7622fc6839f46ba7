package driver

import "golang.org/x/sys/unix"

// lowNice is the nice value of the thread for newcomers' computations: it runs when others do not
// need the processor, and still gets about a fortieth of one that is busy.
const lowNice = 15

// lowerPriority lowers the priority of the calling thread. An error leaves it as it is, which costs
// speed at worst.
func lowerPriority() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowNice)
}
