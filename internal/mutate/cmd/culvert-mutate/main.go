// Command culvert-mutate measures what the tests of packages assert, by mutants of one token: `make
// mutate`. It prints the survivors and the score of each package. Its exit code is 1 if a score is
// under the floor and 2 if it could not measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"culvert/internal/mutate"
)

func main() {
	ok, err := run()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "culvert-mutate: interrupted")
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "culvert-mutate:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// run reports whether every package reaches the floor.
func run() (bool, error) {
	s := mutate.Settings{}
	flag.Uint64Var(&s.Seed, "seed", 1, "the `number` that decides which mutants are drawn")
	flag.IntVar(&s.Mutants, "n", 40, "the `number` of mutants of each package")
	flag.IntVar(&s.Parallel, "parallel", runtime.GOMAXPROCS(0), "test this `number` of mutants at the same time")
	flag.DurationVar(&s.Limit, "limit", 0, "the `time` that the tests of a mutant may take; 0 is ten times that of the unchanged tests")
	flag.Float64Var(&s.Floor, "floor", 80, "the least score of a package, in `percent`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: culvert-mutate [flags] PACKAGE...")
		flag.PrintDefaults()
	}
	flag.Parse()
	s.Packages = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := mutate.Run(ctx, s, os.Stdout, os.Stderr)
	ok := true
	if len(results) > 0 {
		reached, tableErr := mutate.Table(os.Stdout, results, s.Floor)
		ok, err = reached, errors.Join(err, tableErr)
	}
	return ok, err
}
