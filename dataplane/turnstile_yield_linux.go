package dataplane

import "golang.org/x/sys/unix"

// yield offers this thread's core to the others of the machine. It is the system call by itself and not runtime.Gosched, for which a locked thread
// goes to sleep and is woken by another: 10 us that the workers behind it wait as well.
//
//go:noinline
func yield() { // an ordinary function, at whose beginning the garbage collector can stop the thread
	_, _ = unix.RawSyscallNoError(unix.SYS_SCHED_YIELD, 0, 0, 0)
}
