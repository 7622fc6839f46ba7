// Package guest boots Linux kernels of Debian in an emulator, or one that is a program (UserMode),
// each with files of ours and without a disk or a network, and runs commands there as root. It is
// for tests: of other kernels, and of what a host's own kernel must not be used for.
//
//	bookworm := guest.Debian{Suite: "bookworm", Package: "linux-image-amd64"}
//	kernel, err := guest.Fetch(ctx, cache, bookworm, os.Stderr)
//	files := guest.NewFiles()
//	files.Program("nft")
//	files.Host("/tests/x.test", "x.test")
//	machine := guest.Machine{Kernel: kernel, Files: files}
//	status, err := machine.Run(ctx, "/tests/x.test -test.v", os.Stdout)
package guest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program is the emulator.
const Program = "qemu-system-x86_64"

// Machine is a guest to be booted. Kernel and Files must be set.
type Machine struct {
	Kernel Kernel
	Files  *Files
	Memory int // MiB; 3072 if 0
	CPUs   int // 2 if 0; without the processor's help, and in user mode, there is one
	// Scratch is the folder for the files of a run, which are removed at its end; the system's if
	// empty. They take as much room as the files of the guest.
	Scratch string
}

// initScript is the first process of a guest.
//
//go:embed init.sh
var initScript string

// ErrNoStatus is the error of a guest that ended before its command: its kernel panicked, or had
// not enough memory.
var ErrNoStatus = errors.New("the guest ended without the command's exit status")

// Run boots the guest, runs a command by its shell, as root, and returns the exit status. What the
// command writes to its output and errors is copied to out. When ctx ends so does the guest. An
// error has the end of the kernel's console.
func (m Machine) Run(ctx context.Context, command string, out io.Writer) (status int, err error) {
	dir, err := os.MkdirTemp(m.Scratch, "culvert-guest-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := m.image(filepath.Join(dir, "initrd"), command); err != nil {
		return 0, fmt.Errorf("the guest's files: %w", err)
	}
	var stderr bytes.Buffer
	cmd, err := m.command(ctx, dir)
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = out, &stderr
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	for _, f := range cmd.ExtraFiles {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, fmt.Errorf("%s: %w\n%s%s", m.Kernel.Release, err, stderr.Bytes(), end(filepath.Join(dir, "console")))
	}
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, err
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%w\n%s%s", ErrNoStatus, stderr.Bytes(), end(filepath.Join(dir, "console")))
	}
	return status, nil
}

// command returns the command that is the guest. Its standard output is that of the guest's
// command, and its further files are closed by whoever runs it.
func (m Machine) command(ctx context.Context, dir string) (*exec.Cmd, error) {
	if m.Kernel.UserMode {
		return m.userMode(ctx, dir)
	}
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", Program}, m.arguments(dir, hardware())...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd, nil
}

// image writes the guest's first file system.
func (m Machine) image(path, command string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	files := m.Files.clone()
	files.Text("/init", 0o755, initScript)
	files.Text("/command", 0o755, command+"\n")
	return errors.Join(files.base(), files.modules(m.Kernel), files.write(f), f.Close())
}

// arguments are those of the emulator. The first serial port is the console, the second one the
// command's output, the third one its exit status.
//
// Without the processor's help the guest's clock counts instructions, 2 ns each, and jumps over
// what it would wait: tests with deadlines see a slow machine, but one that nothing else runs on.
// There is one processor, since qemu 7.2 with such a clock hangs while a second one is started.
func (m Machine) arguments(dir string, hardware bool) []string {
	cpus := m.CPUs
	if cpus == 0 {
		cpus = 2
	}
	line := "console=ttyS0 panic=-1"
	out := []string{"-accel", "kvm", "-cpu", "host", "-smp", strconv.Itoa(cpus)}
	if !hardware {
		line += " mitigations=off nowatchdog"
		out = []string{"-accel", "tcg", "-cpu", "max", "-smp", "1", "-icount", "shift=1,sleep=off", "-rtc", "clock=vm"}
	}
	return slices.Concat(out, []string{
		"-m", strconv.Itoa(m.memory()), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.Kernel.Image, "-initrd", filepath.Join(dir, "initrd"), "-append", line,
		"-serial", "file:" + filepath.Join(dir, "console"),
		"-serial", "stdio",
		"-serial", "file:" + filepath.Join(dir, "status"),
	})
}

// memory returns the guest's memory in MiB.
func (m Machine) memory() int {
	if m.Memory == 0 {
		return 3072
	}
	return m.Memory
}

// hardware reports whether the processor helps the emulator. A /dev/kvm alone does not mean that: a
// guest of some hypervisors has one that only their own kernels boot on.
func hardware() bool {
	flags, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && virtualizes(string(flags)) && usable("/dev/kvm")
}

// virtualizes reports whether the processors of a /proc/cpuinfo have VMX or SVM.
func virtualizes(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			for flag := range strings.FieldsSeq(flags) {
				if flag == "vmx" || flag == "svm" {
					return true
				}
			}
		}
	}
	return false
}

func usable(device string) bool {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	return err == nil && f.Close() == nil
}

// end returns the last lines of a file, indented.
func end(path string) string {
	const lines = 30
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), "\r", "")), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ") + "\n"
}
