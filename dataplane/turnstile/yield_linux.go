package turnstile

import "golang.org/x/sys/unix"

// Yield offers this thread's core to the other threads of the machine. It is the bare system call
// and not runtime.Gosched, with which a locked thread sleeps until another wakes it: 10 us that the
// workers behind it also wait.
//
//go:noinline
func Yield() { // an ordinary function, so that the garbage collector can stop the thread at its entry
	_, _ = unix.RawSyscallNoError(unix.SYS_SCHED_YIELD, 0, 0, 0)
}
