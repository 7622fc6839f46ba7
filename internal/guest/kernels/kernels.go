package kernels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"culvert/internal/guest"
)

// known are the kernels, by the number that people know them by.
var known = []struct {
	name   string
	debian guest.Debian
}{
	{"5.10", guest.Debian{Suite: "bullseye", Package: "linux-image-amd64"}},
	{"6.1", guest.Debian{Suite: "bookworm", Package: "linux-image-amd64"}},
	{"6.12", guest.Debian{Suite: "bookworm", Package: "linux-image-6.12-amd64"}},
}

// Names returns the names of the kernels.
func Names() []string {
	var out []string
	for _, k := range known {
		out = append(out, k.name)
	}
	return out
}

// Settings are those of a run.
type Settings struct {
	Kernels []string       // names; all if empty
	Only    *regexp.Regexp // packages; all if nil
	Tests   string         // pattern of the tests, in place of each package's own
	Flags   string         // further flags of the test programs
	Cache   string         // folder of the kernels
	Limit   time.Duration  // of a guest
}

// programs are those of this host that tests run.
var programs = []string{"ip", "nft", "tc", "pppd", "setpriv"}

// Run runs the tests in one kernel after the other, and writes to out what came of them and to log
// how it goes on. It reports whether all passed. The module's folder must be the current one.
func Run(ctx context.Context, s Settings, out, log io.Writer) (bool, error) {
	wanted, err := s.suites()
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(s.Cache, 0o755); err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp(s.Cache, "run-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	files, err := build(ctx, dir, wanted, log)
	if err != nil {
		return false, err
	}
	good := true
	for _, k := range known {
		if !s.kernel(k.name) {
			continue
		}
		kernel, err := guest.Fetch(ctx, s.Cache, k.debian, log)
		if err != nil {
			return false, err
		}
		machine := guest.Machine{Kernel: kernel, Files: files, Scratch: dir}
		passed, err := s.in(ctx, machine, wanted, out, log)
		if err != nil && ctx.Err() != nil {
			return false, err
		}
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", kernel.Release, err)
		}
		good = good && passed && err == nil
	}
	return good, nil
}

// in runs the suites in one guest, and reports whether all passed.
func (s Settings) in(ctx context.Context, machine guest.Machine, wanted []suite, out, log io.Writer) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	started := time.Now()
	since := func() time.Duration { return time.Since(started).Round(time.Second) }
	fmt.Fprintf(log, "%s: boots\n", machine.Kernel.Release)
	r := &reader{progress: func(pkg string, got result) {
		if !strings.Contains(got.name, "/") {
			fmt.Fprintf(log, "%s %5s %s %s %s\n", machine.Kernel.Release, since(), got.verdict, pkg, got.name)
		}
	}}
	from, to := io.Pipe()
	parsed := make(chan error, 1)
	go func() { parsed <- r.parse(from) }()
	_, err := machine.Run(ctx, script(wanted, s.Flags), to)
	err = errors.Join(err, to.Close(), <-parsed)
	good := report(out, fmt.Sprintf("Linux %s, %s", machine.Kernel.Release, since()), wanted, r.outcomes)
	return good, err
}

// suites returns the suites that the settings ask for.
func (s Settings) suites() ([]suite, error) {
	for _, name := range s.Kernels {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no kernel %q: use %s", name, strings.Join(Names(), ", "))
		}
	}
	var out []suite
	for _, one := range suites {
		if s.Only != nil && !s.Only.MatchString(one.pkg) {
			continue
		}
		if s.Tests != "" {
			one.run = s.Tests
		}
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, errors.New("no package is to be tested")
	}
	return out, nil
}

func (s Settings) kernel(name string) bool {
	return len(s.Kernels) == 0 || slices.Contains(s.Kernels, name)
}

// build compiles the tests and culvert, and returns the files of the guests.
func build(ctx context.Context, dir string, wanted []suite, log io.Writer) (*guest.Files, error) {
	files := guest.NewFiles()
	for _, name := range programs {
		if err := files.Program(name); err != nil {
			return nil, err
		}
	}
	add := func(at string, args ...string) error {
		path := filepath.Join(dir, filepath.Base(at))
		fmt.Fprintf(log, "builds %s\n", filepath.Base(at))
		cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", "go"}, append(args[:len(args)-1:len(args)-1], "-o", path, args[len(args)-1])...)...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"), log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
		return files.Host(at, path)
	}
	if err := add("/tests/culvert", "build", "./cmd/culvert"); err != nil {
		return nil, err
	}
	for _, s := range wanted {
		if err := add(s.binary(), "test", "-c", "./"+s.pkg); err != nil {
			return nil, err
		}
	}
	return files, nil
}
