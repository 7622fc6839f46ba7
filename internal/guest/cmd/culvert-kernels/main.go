// Command culvert-kernels runs tests in the kernels of several Debian releases, in an emulator:
// `make kernels`. It prints what passed, failed and was skipped. Its exit code is 1 if a test
// failed and 2 if it could not run them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"culvert/internal/guest/kernels"
)

func main() {
	good, err := run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "culvert-kernels:", err)
		os.Exit(2)
	case !good:
		os.Exit(1)
	}
}

// run reports whether all tests passed.
func run() (bool, error) {
	s := kernels.Settings{}
	flag.StringVar(&s.Cache, "cache", cache(), "the `folder` that kernels are kept in")
	flag.DurationVar(&s.Limit, "limit", 90*time.Minute, "the `time` that one kernel may take")
	flag.StringVar(&s.Flags, "flags", "-test.short -test.timeout=60m", "the `flags` of the test programs")
	flag.StringVar(&s.Tests, "run", "", "run tests of this `pattern`, instead of those that are chosen for each package")
	only := flag.String("packages", "", "test packages of this `pattern` alone")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: culvert-kernels [flags] [KERNEL...]\nkernels: %s\n", strings.Join(kernels.Names(), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	s.Kernels = flag.Args()
	if *only != "" {
		p, err := regexp.Compile(*only)
		if err != nil {
			return false, err
		}
		s.Only = p
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return kernels.Run(ctx, s, os.Stdout, os.Stderr)
}

// cache returns the user's folder for what can be made again.
func cache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "culvert", "kernels")
}
