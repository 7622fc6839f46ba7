package bench

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Settings are the choices that both front ends offer.
type Settings struct {
	Rounds int
	Time   time.Duration // length of each measurement
	Only   string        // subjects
	Tests  string
	JSON   string // files to write
	SVG    string
	Layout Layout
}

// Register adds the flags to f. The values that the settings hold are the defaults.
func (s *Settings) Register(f *flag.FlagSet) {
	f.IntVar(&s.Rounds, "rounds", s.Rounds, "`number` of interleaved rounds")
	f.DurationVar(&s.Time, "time", s.Time, "the `length` of each measurement")
	f.StringVar(&s.Only, "only", s.Only, "measure only the subjects whose names contain one of these `words`, separated by commas")
	f.StringVar(&s.Tests, "tests", s.Tests, "make only these `tests`: "+strings.Join(testKeys(), ","))
	f.StringVar(&s.JSON, "json", s.JSON, "write every measurement to this `file`")
	f.StringVar(&s.SVG, "svg", s.SVG, "write a plot to this `file`")
	s.Layout.register(f)
}

// A kind is a kind of test: its key on the command line, its name in reports, and its expected
// duration for measurements of length d.
type kind struct {
	key, name string
	expect    func(d time.Duration) time.Duration
}

// kinds are all kinds of tests, in the order of a round.
var kinds = []kind{
	{"tcp1", tcp1, expectLoad}, {"tcp8", tcp8, expectLoad}, {"tcpboth", tcpBoth, expectLoad},
	{"udp64", udp64, expectSearch}, {"udp512", udp512, expectSearch}, {"udp1400", udp1400, expectSearch}, {"imix", imix, expectSearch},
	{"idle", idle, expectLoad}, {"loaded", loaded, expectLoad},
}

func expectLoad(d time.Duration) time.Duration   { return d + d/8 + 100*time.Millisecond }
func expectSearch(d time.Duration) time.Duration { return 14*(trialLength(d)+100*time.Millisecond) + d }

// trialLength returns the length of a search's trial for measurements of length d. The result is
// confirmed over half of d.
func trialLength(d time.Duration) time.Duration { return d / 10 }

func testKeys() []string {
	var keys []string
	for _, k := range kinds {
		keys = append(keys, k.key)
	}
	return keys
}

// least is the shortest useful measurement, since the machine's CPU time is counted in hundredths
// of a second.
const least = 100 * time.Millisecond

// chosen returns the tests that the settings name, or an error if the settings are not usable.
func (s *Settings) chosen() ([]kind, error) {
	switch {
	case s.Rounds < 1:
		return nil, errors.New("-rounds must be at least 1")
	case s.Time < least:
		return nil, fmt.Errorf("-time must be at least %v", least)
	}
	if err := s.Layout.check(runtime.NumCPU()); err != nil {
		return nil, err
	}
	if s.Tests == "" {
		return kinds, nil
	}
	var out []kind
	for word := range strings.SplitSeq(s.Tests, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.key == word })
		if i < 0 {
			return nil, fmt.Errorf("unknown test %q in -tests: use some of %s", word, strings.Join(testKeys(), ", "))
		}
		out = append(out, kinds[i])
	}
	return out, nil
}

// Check returns an error if the settings are not usable. It starts nothing.
func (s *Settings) Check() error {
	_, err := s.chosen()
	return err
}

// wants reports whether the settings choose the subject with the name.
func (s *Settings) wants(name string) bool {
	return slices.ContainsFunc(strings.Split(s.Only, ","), func(word string) bool { return strings.Contains(name, strings.TrimSpace(word)) })
}

// A pace estimates the rest of a run from the steps made: for each kind of step, by name, it holds
// the expected duration and then the measured ones.
type pace struct {
	expected map[string]time.Duration
	taken    map[string]time.Duration
	done     map[string]int
	ahead    map[string]int // steps to come
}

func newPace() *pace {
	return &pace{expected: map[string]time.Duration{}, taken: map[string]time.Duration{}, done: map[string]int{}, ahead: map[string]int{}}
}

func (p *pace) plan(step string, count int, each time.Duration) {
	p.expected[step] = each
	p.ahead[step] += count
}

// did records a step and its duration.
func (p *pace) did(step string, took time.Duration) {
	p.taken[step] += took
	p.done[step]++
	p.ahead[step]--
}

// left returns the estimated duration of the steps to come.
func (p *pace) left() time.Duration {
	var sum time.Duration
	for step, n := range p.ahead {
		each := p.expected[step]
		if d := p.done[step]; d > 0 {
			each = p.taken[step] / time.Duration(d)
		}
		sum += time.Duration(max(n, 0)) * each
	}
	return sum
}
