package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Outcome is what became of a mutant.
type Outcome int

// Outcomes of a mutant.
const (
	Invalid  Outcome = iota // it does not compile
	Killed                  // a test failed
	Expired                 // the tests did not end in time, which also kills it
	Survived                // every test passed
	Unrun                   // no test runs the code: it survives without a run
)

// lab compiles and runs the tests of one package. After baseline, its methods may be called from
// several goroutines.
type lab struct {
	pkg   listed
	dir   string // temporary
	limit time.Duration

	covered profile
}

const (
	// leastLimit is the shortest limit that the lab chooses: a busy machine delays any process.
	leastLimit = 20 * time.Second
	// memory is how much data the tests may have, in KiB. A mutant's loop may allocate without end.
	memory = 4 << 20
)

// baseline runs the tests of the unchanged package, which must pass, to learn what code they run
// and how long they take.
func (l *lab) baseline(ctx context.Context) error {
	dir, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, cover := filepath.Join(dir, "t"), filepath.Join(dir, "cover")
	if out, err := l.compile(ctx, binary, "-cover"); err != nil {
		return fmt.Errorf("%s does not compile: %w\n%s", l.pkg.ImportPath, err, out)
	}
	begun := time.Now()
	if out, err := l.test(ctx, binary, "-test.coverprofile="+cover); err != nil {
		return fmt.Errorf("%s: the unchanged tests fail: %w\n%s", l.pkg.ImportPath, err, out)
	}
	if l.limit == 0 {
		l.limit = max(leastLimit, 10*time.Since(begun))
	}
	text, err := os.ReadFile(cover)
	if err != nil {
		return err
	}
	l.covered, err = parseProfile(string(text))
	return err
}

// try tests a mutant. An error says that it could not be tested, not how the tests ended.
func (l *lab) try(ctx context.Context, m Mutant) (Outcome, error) {
	dir, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		return Invalid, err
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, m)
	if err != nil {
		return Invalid, err
	}
	binary := filepath.Join(dir, "t")
	if _, err := l.compile(ctx, binary, "-overlay", overlay); err != nil {
		return Invalid, ctx.Err()
	}
	if l.covered.unrun(m) {
		return Unrun, nil
	}
	limited, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	_, err = l.test(limited, binary, "-test.failfast")
	switch {
	case ctx.Err() != nil:
		return Invalid, ctx.Err()
	case limited.Err() != nil:
		return Expired, nil
	case err == nil:
		return Survived, nil
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return Invalid, err
	}
	return Killed, nil
}

// writeOverlay writes the changed file, and what tells the go command to read it in the other's
// place, and returns the path of the latter.
func writeOverlay(dir string, m Mutant) (string, error) {
	src, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {m.File: changed}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(changed, m.apply(src), 0o600), os.WriteFile(overlay, text, 0o600))
}

// compile builds the package's tests and returns the compiler's output. Temporary files, which the
// go command leaves behind when it is killed, stand beside the binary.
func (l *lab) compile(ctx context.Context, binary string, flags ...string) ([]byte, error) {
	args := append([]string{"test", "-c", "-o", binary}, flags...)
	return l.run(ctx, filepath.Dir(binary), "go", append(args, l.pkg.ImportPath)...)
}

// test runs compiled tests in their package's folder, with temporary files beside the binary, and
// returns what they print.
func (l *lab) test(ctx context.Context, binary string, flags ...string) ([]byte, error) {
	const limited = `ulimit -d "$1" 2>/dev/null; shift; exec "$@"`
	args := append([]string{"-c", limited, "sh", strconv.Itoa(memory), binary, "-test.short"}, flags...)
	return l.run(ctx, filepath.Dir(binary), "sh", args...)
}

// run runs a program in the package's folder, with its temporary files in temp, and in a process
// group of its own, which ends as a whole when ctx ends.
func (l *lab) run(ctx context.Context, temp, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.pkg.Dir, &out, &out
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "GOTMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	return out.Bytes(), err
}
