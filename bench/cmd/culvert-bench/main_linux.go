// Command culvert-bench compares culvert with its rivals, side by side in namespaces of one
// machine: `make bench`. docs/benchmark.md describes what it measures.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
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
	s := bench.Settings{Rounds: 5, Time: 4 * time.Second}
	s.Register(flag.CommandLine)
	culvert := flag.String("culvert", "bin/culvert", "the culvert to measure: a `binary`")
	other := flag.String("other", "", "another culvert to measure beside it: a `binary`")
	cipher := flag.String("cipher", "aes128gcm16", "the ESP `proposal` of culvert and strongSwan")
	networks := flag.Int("networks", 0, "configure culvert with this `number` of additional networks, without traffic")
	out := flag.String("out", "", "write bench.md, bench.json and bench.svg into this `folder`")
	from := flag.String("from", "", "measure nothing: show the results in this `file` of -json or -out")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected %q", flag.Arg(0))
	}
	if *from != "" {
		return show(*from, s)
	}
	if err := s.Check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return measure(ctx, s, set{*culvert, *other, *cipher, *networks}, *out)
}

// A set is the culvert binaries to measure, and their configuration.
type set struct {
	culvert, other string // binaries; other may be empty
	cipher         string
	networks       int
}

func measure(ctx context.Context, s bench.Settings, of set, out string) error {
	table := os.Stdout
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(out, "bench.md"))
		if err != nil {
			return err
		}
		defer f.Close()
		table = f
		s.JSON, s.SVG = cmp.Or(s.JSON, filepath.Join(out, "bench.json")), cmp.Or(s.SVG, filepath.Join(out, "bench.svg"))
	}
	dir, err := os.MkdirTemp("", "culvert-bench-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	subjects, err := subjects(ctx, dir, of)
	if err != nil {
		return err
	}
	err = bench.Main(ctx, s, subjects, table, os.Stdout)
	if out != "" {
		fmt.Printf("%s, %s, %s\n", table.Name(), s.JSON, s.SVG)
	}
	return err
}

// subjects returns the candidates. It builds wireguard-go and the null forwarder into dir.
func subjects(ctx context.Context, dir string, of set) ([]bench.Subject, error) {
	wireguard, floor := filepath.Join(dir, "wireguard-go"), filepath.Join(dir, "culvert-floor")
	if err := errors.Join(build(ctx, wireguard, "golang.zx2c4.com/wireguard"), build(ctx, floor, "-tags", "floor", "culvert/cmd/culvert")); err != nil {
		return nil, err
	}
	ours, err := filepath.Abs(of.culvert)
	if err != nil {
		return nil, err
	}
	c := bench.Culvert{Binary: ours, Cipher: of.cipher, Networks: of.networks}
	udp, null := c, c
	udp.UDP = true
	null.Binary, null.UDP, null.Floor = floor, true, true
	list := []bench.Subject{
		bench.WireGuardGo{Binary: wireguard}, udp, c, null, bench.OpenVPN{}, bench.StrongSwan{Cipher: of.cipher}, bench.Plain{},
	}
	if of.other == "" {
		return list, nil
	}
	c.Label, udp.Label = "other", "other"
	if c.Binary, err = filepath.Abs(of.other); err != nil {
		return nil, err
	}
	udp.Binary = c.Binary
	return append(list, udp, c), nil
}

// build builds a program from the modules of this one.
func build(ctx context.Context, binary string, what ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", binary}, what...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", filepath.Base(binary), err, out)
	}
	return nil
}

// show writes the results of an earlier run.
func show(file string, s bench.Settings) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	doc, err := bench.Decode(f)
	if err != nil {
		return err
	}
	return errors.Join(doc.Text(os.Stdout), doc.Save(s.JSON, s.SVG))
}
