// Command culvert-bench compares culvert with wireguard-go and the plain link, side by side in namespaces of this machine: `make bench`.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"culvert/bench"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "culvert-bench:", err)
		os.Exit(1)
	}
}

func run() error {
	culvert := flag.String("culvert", "bin/culvert", "the culvert to measure")
	rounds := flag.Int("rounds", 5, "interleaved rounds")
	duration := flag.Duration("time", 4*time.Second, "the length of each measurement")
	cipher := flag.String("cipher", "aes128gcm16", "culvert's ESP proposal")
	only := flag.String("only", "", "measure only the subjects whose names contain this")
	jsonFile := flag.String("json", "", "write every measurement to this file")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "culvert-bench-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	wg := filepath.Join(dir, "wireguard-go")
	build := exec.CommandContext(ctx, "go", "build", "-o", wg, "golang.zx2c4.com/wireguard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building wireguard-go from its module: %w\n%s", err, out)
	}
	bin, err := filepath.Abs(*culvert)
	if err != nil {
		return err
	}
	rival := bench.WireGuardGo{Binary: wg}
	subjects := []bench.Subject{rival, bench.Culvert{Binary: bin, UDP: true, Cipher: *cipher}, bench.Culvert{Binary: bin, Cipher: *cipher}, bench.Plain{}}
	subjects = slices.DeleteFunc(subjects, func(s bench.Subject) bool { return !strings.Contains(s.Name(), *only) })
	ms, err := bench.Run(ctx, bench.Options{Rounds: *rounds, Duration: *duration, Progress: os.Stdout, Subjects: subjects})
	if err != nil {
		return err
	}
	if *jsonFile != "" {
		b, err := json.MarshalIndent(ms, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*jsonFile, b, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("\nmedians of %d interleaved rounds (and their spread); ratios round by round\n\n", *rounds)
	return bench.Table(os.Stdout, bench.Summarize(ms, rival.Name()), rival.Name())
}
