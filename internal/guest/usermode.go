package guest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// userModeConfig has the settings of a kernel in user mode.
//
//go:embed usermode.config
var userModeConfig string

// UserMode returns a kernel in user mode (UML) of Debian's sources, such as linux-source of trixie,
// out of the folder cache, where it is built if it is not there: that takes minutes of a processor
// and 2 GiB of disk meanwhile. gcc, make, flex, bison, bc and xz must be there. What apt and make
// print goes to log.
//
// Such a kernel is a program of this host. The code of its processes runs as it is, and only their
// system calls are emulated: where the processor does not help an emulator, it is many times
// faster. It has one processor.
func UserMode(ctx context.Context, cache string, sources Debian, log io.Writer) (Kernel, error) {
	dir, err := filepath.Abs(filepath.Join(cache, sources.Suite+"-"+sources.Package+"-um"))
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Image: filepath.Join(dir, "linux"), UserMode: true}
	built := filepath.Join(dir, "built")
	release, config, found := readBuilt(built)
	if found && config == wantBuilt {
		k.Release = release
		return k, nil
	}
	deb, err := (apt{dir: dir, log: log}).download(ctx, sources)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s of %s: %w", sources.Package, sources.Suite, err)
	}
	tree := filepath.Join(dir, "tree")
	if k.Release, err = compile(ctx, deb, tree, k.Image, log); err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", deb, err)
	}
	return k, errors.Join(os.WriteFile(built, []byte(k.Release+"\n"+wantBuilt), 0o644), os.RemoveAll(tree), os.Remove(deb))
}

// wantBuilt is what a kernel of the cache must have been built with.
var wantBuilt = userModeConfig + fmt.Sprint(changes)

// readBuilt returns the release and the settings of what was built.
func readBuilt(path string) (release, config string, found bool) {
	text, _ := os.ReadFile(path)
	return strings.Cut(string(text), "\n")
}

// The clock of a kernel in user mode stands still while anything runs, until the alarm of its next
// timer comes from this host. That comes a hundred times later than it is asked for: so much faster
// is the machine that the tests see. Without any alarm, a loop that waits for another task, in the
// kernel or in a program, would wait forever. An alarm whose timer ran meanwhile, since the clock
// went on for another reason, must not set the clock back.
var changes = []struct{ file, begin, more string }{
	{"arch/um/os-Linux/time.c", "int os_timer_one_shot(unsigned long long nsecs)\n{\n", "\tnsecs *= 100;\n"},
	{"arch/um/kernel/time.c", "static void time_travel_handle_real_alarm(void)\n{\n", "\tif (time_travel_next_event < time_travel_time)\n\t\treturn;\n"},
}

// change makes the changes of the sources.
func change(source string) error {
	for _, c := range changes {
		path := filepath.Join(source, filepath.FromSlash(c.file))
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		before, after, found := strings.Cut(string(text), c.begin)
		if !found {
			return fmt.Errorf("%s has no %q", c.file, c.begin)
		}
		if err := os.WriteFile(path, []byte(before+c.begin+c.more+after), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compile builds the kernel at image of a package of sources, and returns its release.
func compile(ctx context.Context, deb, tree, image string, log io.Writer) (string, error) {
	if err := errors.Join(os.RemoveAll(tree), os.MkdirAll(filepath.Join(tree, "source"), 0o755)); err != nil {
		return "", err
	}
	if err := run(ctx, nil, "", "dpkg-deb", "-x", deb, tree); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(tree, "usr", "src", "linux-source-*.tar.xz"))
	if err != nil || len(archives) != 1 {
		return "", errors.Join(err, fmt.Errorf("it has %d archives of sources", len(archives)))
	}
	source, wanted := filepath.Join(tree, "source"), filepath.Join(tree, "wanted")
	if err := os.WriteFile(wanted, []byte(userModeConfig), 0o644); err != nil {
		return "", err
	}
	nice := func(command ...string) error {
		return run(ctx, log, source, "nice", append([]string{"-n", "5"}, command...)...)
	}
	for _, step := range []func() error{
		func() error { return nice("tar", "-xJf", archives[0], "--strip-components=1") },
		func() error { return change(source) },
		func() error { return nice("make", "ARCH=um", "KCONFIG_ALLCONFIG="+wanted, "allnoconfig") },
		func() error { return configured(filepath.Join(source, ".config")) },
		func() error { return nice("make", "ARCH=um", "-j"+strconv.Itoa(runtime.NumCPU()), "linux") },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	release, err := os.ReadFile(filepath.Join(source, "include", "config", "kernel.release"))
	return strings.TrimSpace(string(release)), errors.Join(err, os.Rename(filepath.Join(source, "linux"), image))
}

// configured returns an error if a configuration lacks a setting of userModeConfig, which make
// leaves out without a word where others are in its way.
func configured(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	has := strings.Split(string(text), "\n")
	lines := bufio.NewScanner(strings.NewReader(userModeConfig))
	for lines.Scan() {
		if l := lines.Text(); !strings.HasPrefix(l, "#") && !slices.Contains(has, l) {
			return fmt.Errorf("the kernel cannot have %s", l)
		}
	}
	return lines.Err()
}

// userMode returns the command that runs a kernel in user mode with the ports of
// Machine.arguments. Its clock jumps over all waiting, and nearly stands still while it computes:
// no deadline of a test depends on how much else this machine does. What gathers randomness from
// the clock's jitter would wait for it forever.
//
// It is not niced: each system call is a switch to another process of this host and back.
func (m Machine) userMode(ctx context.Context, dir string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, m.Kernel.Image, "mem="+strconv.Itoa(m.memory())+"M",
		"initrd="+filepath.Join(dir, "initrd"), "uml_dir="+dir+"/", "time-travel", "initcall_blacklist=jent_mod_init", "con=null", "ssl=null",
		"console=ttyS0", "ssl0=null,fd:3", "ssl1=null,fd:1", "ssl2=null,fd:4")
	for _, name := range []string{"console", "status"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	// Its processes are processes of this host, and all in its group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd, nil
}
