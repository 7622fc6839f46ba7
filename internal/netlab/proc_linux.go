package netlab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is a program that runs in a host.
type Process struct {
	cmd  *exec.Cmd
	out  *buffer
	born time.Time
	done chan struct{}
	err  error
}

// Start starts a program in the host's namespace. Its output is kept (see Output) and copied to
// tee. It is killed with the lab, and with this process.
func (h *Host) Start(env []string, tee io.Writer, name string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(name, args...), out: &buffer{tee: tee}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.born = time.Now()
	if err := h.onThread(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", h.Name, name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	h.lab.onClose(func() { p.Stop(3 * time.Second) })
	return p, nil
}

// Run runs a program in the host's namespace to its end and returns its output.
func (h *Host) Run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	p, err := h.Start(env, nil, name, args...)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return p.Output(), fmt.Errorf("%s: %s %s: %w", h.Name, name, strings.Join(args, " "), ctx.Err())
	}
	if p.err != nil {
		return p.Output(), fmt.Errorf("%s: %s %s: %w: %s", h.Name, name, strings.Join(args, " "), p.err, strings.TrimSpace(p.Output()))
	}
	return p.Output(), nil
}

// Started returns the start time of the process.
func (p *Process) Started() time.Time { return p.born }

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns all output of the process so far.
func (p *Process) Output() string { return p.out.String() }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done returns a channel that is closed when the process has ended; then ExitCode and CPU are
// valid.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode returns the exit status; -1 if a signal ended the process.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Kill kills the process by SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end (SIGTERM), kills it after grace, and reports whether it ended by
// itself.
func (p *Process) Stop(grace time.Duration) bool {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return true
	case <-time.After(grace):
		p.Kill()
		return false
	}
}

// CPU returns the user and system time of a running process and all its threads so far, to the
// nanosecond and without its children.
func (p *Process) CPU() (time.Duration, error) {
	// The clock of another process: CPUCLOCK_SCHED below its inverted ID, as in
	// clock_getcpuclockid(3).
	const cpuclockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID()<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", p.PID(), err)
	}
	return time.Duration(ts.Nano()), nil
}

// PeakMemory returns the largest resident memory of a running process so far (VmHWM), in octets.
func (p *Process) PeakMemory() (int64, error) { return p.memory("VmHWM:") }

// Memory returns its resident memory now (VmRSS), likewise.
func (p *Process) Memory() (int64, error) { return p.memory("VmRSS:") }

func (p *Process) memory(name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(b), name)
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		return 0, fmt.Errorf("process %d has no %s (%v)", p.PID(), strings.TrimSuffix(name, ":"), err)
	}
	return kib << 10, nil
}

// buffer is a process's output, safe to read while it grows.
type buffer struct {
	mu  sync.Mutex
	b   strings.Builder
	tee io.Writer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tee != nil {
		_, _ = b.tee.Write(p)
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Until polls cond every 20 ms until it holds, or returns the context's error with what. It is for
// conditions that another process brings about and that only polling can detect.
func Until(ctx context.Context, what string, cond func() bool) error {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !cond() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
	return nil
}
