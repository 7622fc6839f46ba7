package runner

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"culvert/internal/guest"
	"culvert/internal/interop"
)

// programs are what the cells are run by.
type programs struct {
	cache         string
	culvert, test string // their files
	hash          string // of both
	root          string // of the peers' system, if any needs one
	kernel        guest.Kernel
}

// build compiles culvert and the end-to-end tests.
func build(ctx context.Context, cache string, out io.Writer) (*programs, error) {
	fmt.Fprintln(out, "builds culvert and its end-to-end tests")
	dir, err := filepath.Abs(cache)
	if err != nil {
		return nil, err
	}
	p := &programs{cache: dir, culvert: filepath.Join(dir, "culvert"), test: filepath.Join(dir, "e2e.test")}
	for _, args := range [][]string{
		{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", p.culvert, "./cmd/culvert"},
		{"test", "-c", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", p.test, "./internal/e2e"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
		}
	}
	p.hash, err = hashOf(p.culvert, p.test)
	return p, err
}

// hashOf returns the beginning of a hash of files.
func hashOf(paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// testFlags are the flags of the end-to-end tests.
var testFlags = []string{"-test.run", "^TestInterop$", "-test.v", "-test.timeout", "0"}

// start runs a job. The output of one that failed is kept beside the records.
func (p *programs) start(ctx context.Context, j job, emit func(interop.Record)) error {
	path := filepath.Join(p.cache, "logs", logName(j.cells[0]))
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	from, to := io.Pipe()
	parsed := make(chan error, 1)
	go func() { parsed <- follow(from, log, emit) }()
	if j.peer.Where == interop.Guest {
		err = p.boot(ctx, j, to)
	} else {
		err = p.here(ctx, j, to)
	}
	err = errors.Join(err, to.Close(), <-parsed, log.Close())
	if err == nil {
		return os.Remove(path)
	}
	return fmt.Errorf("%w; see %s", err, path)
}

// here runs a job on this host.
func (p *programs) here(ctx context.Context, j job, out io.Writer) error {
	cmd := exec.CommandContext(ctx, p.test, testFlags...)
	cmd.Dir = p.cache
	cmd.Env = append(os.Environ(), environment(j, p.culvert, p.root)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// environment returns the variables of a test that runs a job.
func environment(j job, culvert, root string) []string {
	var names []string
	for _, c := range j.cells {
		names = append(names, c.Name())
	}
	return []string{"CULVERT_E2E=1", "CULVERT_BIN=" + culvert, "CULVERT_INTEROP_ROOT=" + root, "CULVERT_INTEROP_CELLS=" + strings.Join(names, "\n")}
}

// follow copies a test's output to log, and hands over the records in it.
func follow(from io.Reader, log io.Writer, emit func(interop.Record)) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if one, ok := interop.ParseLine(line); ok {
			emit(one)
		} else if _, err := io.WriteString(log, line); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// logName returns the name of the file with the output of a cell.
func logName(c interop.Cell) string { return notInNames.ReplaceAllString(c.Name(), "-") + ".log" }
