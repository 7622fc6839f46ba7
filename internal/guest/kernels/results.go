package kernels

import (
	"bufio"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Marks of lines in the output of a guest. frameMark is that of -test.v=test2json.
const (
	suiteMark = "\x02suite "
	endMark   = "\x02end "
	frameMark = "\x16"
)

// result is what one test came to, or one of its cases.
type result struct {
	name, verdict string // PASS, FAIL or SKIP
	output        string
}

// outcome is what a suite came to.
type outcome struct {
	pkg     string
	results []result
	// status is the exit status of the suite's program; -1 if it did not end.
	status int
	output map[string]string // of tests without a result, by name; that of no test has none
}

func (o *outcome) failed() bool { return o.status != 0 }

// count returns the number of tests, without their cases, with a verdict.
func (o *outcome) count(verdict string) (n int) {
	for _, r := range o.results {
		if r.verdict == verdict && !strings.Contains(r.name, "/") {
			n++
		}
	}
	return n
}

// leaves returns the tests and cases with a verdict that have no case with the same one.
func (o *outcome) leaves(verdict string) (out []result) {
	for _, r := range o.results {
		if r.verdict == verdict && !slices.ContainsFunc(o.results, func(c result) bool {
			return c.verdict == verdict && strings.HasPrefix(c.name, r.name+"/")
		}) {
			out = append(out, r)
		}
	}
	return out
}

// reason returns what a skipped test says, without the place of it.
func (r result) reason() string {
	text := strings.TrimSpace(r.output)
	if _, said, ok := strings.Cut(text, ".go:"); ok {
		_, text, _ = strings.Cut(said, ": ")
	}
	return strings.Join(strings.Fields(text), " ")
}

var (
	current = regexp.MustCompile(`^=== (?:RUN|CONT|NAME|PAUSE)\s+(\S*)`)
	verdict = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
)

// reader follows the output of a guest.
type reader struct {
	outcomes []*outcome
	test     string // that the next line belongs to
	// progress is called at each result.
	progress func(pkg string, r result)
}

// maxOutput bounds the output that is kept of a test, in octets.
const maxOutput = 1 << 20

// parse reads the output of a guest to its end.
func (r *reader) parse(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" || err == nil {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) line(line string) {
	// A test that writes no end of line itself is followed by the mark in the middle of a line.
	before, mark, framed := strings.Cut(line, frameMark)
	if framed {
		if before != "" {
			r.add(before)
		}
		r.frame(mark)
		return
	}
	if pkg, ok := strings.CutPrefix(line, suiteMark); ok {
		r.outcomes = append(r.outcomes, &outcome{pkg: pkg, status: -1, output: map[string]string{}})
		r.test = ""
		return
	}
	if before, status, ok := strings.Cut(line, endMark); ok && len(r.outcomes) > 0 {
		r.add(before)
		r.end(status)
		return
	}
	r.add(line)
}

// frame takes a line of the frame that the package testing writes around the output of tests.
func (r *reader) frame(line string) {
	if m := current.FindStringSubmatch(line); m != nil {
		r.test = m[1]
		return
	}
	m := verdict.FindStringSubmatch(line)
	if m == nil || len(r.outcomes) == 0 {
		r.add(line)
		return
	}
	now := r.outcomes[len(r.outcomes)-1]
	got := result{name: m[2], verdict: m[1], output: now.output[m[2]]}
	delete(now.output, got.name)
	now.results = append(now.results, got)
	if r.progress != nil {
		r.progress(now.pkg, got)
	}
}

func (r *reader) add(line string) {
	if len(r.outcomes) == 0 || line == "" {
		return
	}
	now := r.outcomes[len(r.outcomes)-1]
	if kept := now.output[r.test]; len(kept)+len(line) < maxOutput {
		now.output[r.test] = kept + line + "\n"
	}
}

func (r *reader) end(status string) {
	if n, err := strconv.Atoi(strings.TrimSpace(status)); err == nil {
		r.outcomes[len(r.outcomes)-1].status = n
	}
	r.test = ""
}
