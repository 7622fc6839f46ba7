package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// confine restricts this process, and what it starts from then on, to n of the CPUs that it may use
// now. The kernel's work for veth pairs follows, since it is done on the CPU of the sender. With 0
// it does nothing. The result restores what was before.
func confine(n int) (restore func() error, err error) {
	if n == 0 {
		return func() error { return nil }, nil
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("reading the CPUs of this process: %w", err)
	}
	some, err := firstOf(before, n)
	if err != nil {
		return nil, err
	}
	procs := runtime.GOMAXPROCS(n)
	restore = func() error {
		runtime.GOMAXPROCS(procs)
		return onEveryThread(before)
	}
	if err := onEveryThread(some); err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

// firstOf returns the first n CPUs of a set.
func firstOf(set unix.CPUSet, n int) (some unix.CPUSet, err error) {
	for cpu := 0; some.Count() < n; cpu++ {
		if cpu >= len(set)*64 {
			return some, fmt.Errorf("-cores %d: this process may use %d", n, set.Count())
		}
		if set.IsSet(cpu) {
			some.Set(cpu)
		}
	}
	return some, nil
}

// onEveryThread sets the CPUs of all threads of this process. A thread that is made meanwhile has
// those of the thread that made it, so a second pass finds what the first one missed.
func onEveryThread(set unix.CPUSet) error {
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH { // it has ended
				return fmt.Errorf("setting the CPUs of a thread: %w", err)
			}
		}
	}
	return nil
}
