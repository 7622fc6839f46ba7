// Command culvert-interop runs culvert beside other implementations: `make interop`. It prints what
// came of each cell, goes on where an earlier run was ended, and writes docs/interop.md. Its exit
// code is 1 if a cell failed and 2 if it could not run them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"culvert/internal/interop/runner"
)

func main() {
	good, err := run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "culvert-interop:", err)
		os.Exit(2)
	case !good:
		os.Exit(1)
	}
}

// run reports whether all cells passed.
func run() (bool, error) {
	s := runner.Settings{}
	flag.StringVar(&s.Cache, "cache", cache(), "the `folder` of what came of cells, of programs and of peers")
	flag.StringVar(&s.Document, "document", "docs/interop.md", "the `file` that is written once all cells have run")
	flag.IntVar(&s.Jobs, "jobs", 4, "how `many` cells run at a time")
	flag.DurationVar(&s.Limit, "limit", 2*time.Hour, "the `time` that a cell, or all of a guest, may take")
	flag.BoolVar(&s.Again, "again", false, "run also the cells that have passed with the same programs")
	only := flag.String("run", "", "run cells with names of this `pattern` alone")
	flag.Parse()
	if *only != "" {
		p, err := regexp.Compile(*only)
		if err != nil {
			return false, err
		}
		s.Only = p
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runner.Run(ctx, s, os.Stdout)
}

// cache returns the user's folder for what can be made again.
func cache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "culvert", "interop")
}
