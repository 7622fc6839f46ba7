package bench

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Settings are what both front ends let their users choose.
type Settings struct {
	Rounds int
	Time   time.Duration // the length of each measurement
	Only   string        // subjects
	Tests  string
	JSON   string // files to write
	SVG    string
}

// Register adds the flags; what the settings hold already are the defaults.
func (s *Settings) Register(f *flag.FlagSet) {
	f.IntVar(&s.Rounds, "rounds", s.Rounds, "`number` of interleaved rounds")
	f.DurationVar(&s.Time, "time", s.Time, "the `length` of each measurement")
	f.StringVar(&s.Only, "only", s.Only, "measure only the subjects whose names contain one of these `words`, with commas between them")
	f.StringVar(&s.Tests, "tests", s.Tests, "make only these `tests`: "+strings.Join(testKeys(), ","))
	f.StringVar(&s.JSON, "json", s.JSON, "write every measurement to this `file`")
	f.StringVar(&s.SVG, "svg", s.SVG, "write a plot to this `file`")
}

// kind is a kind of test: its key on the command line, its name in reports, and how long it is expected to take for a measurement of length d.
type kind struct {
	key, name string
	expect    func(d time.Duration) time.Duration
}

// kinds are in the order in which they are made.
var kinds = []kind{
	{"tcp1", tcp1, expectLoad}, {"tcp8", tcp8, expectLoad}, {"tcpboth", tcpBoth, expectLoad},
	{"udp64", udp64, expectSearch}, {"udp512", udp512, expectSearch}, {"udp1400", udp1400, expectSearch},
	{"idle", idle, expectLoad}, {"loaded", loaded, expectLoad},
}

func expectLoad(d time.Duration) time.Duration   { return d + d/8 + 100*time.Millisecond }
func expectSearch(d time.Duration) time.Duration { return 14*(trialLength(d)+100*time.Millisecond) + d }

// trialLength is how long a rate is tried in a search, in measurements of length d; what is found is tried for half of d.
func trialLength(d time.Duration) time.Duration { return d / 10 }

func testKeys() []string {
	var keys []string
	for _, k := range kinds {
		keys = append(keys, k.key)
	}
	return keys
}

// least is the shortest measurement that says anything: the CPU time of the machine is counted in hundredths of a second.
const least = 100 * time.Millisecond

// chosen are the tests that the settings ask for, or what is wrong with the settings.
func (s *Settings) chosen() ([]kind, error) {
	switch {
	case s.Rounds < 1:
		return nil, errors.New("there must be at least one round")
	case s.Time < least:
		return nil, fmt.Errorf("a measurement must be %v long at least", least)
	}
	if s.Tests == "" {
		return kinds, nil
	}
	var out []kind
	for word := range strings.SplitSeq(s.Tests, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.key == word })
		if i < 0 {
			return nil, fmt.Errorf("there is no test %q: there are %s", word, strings.Join(testKeys(), ", "))
		}
		out = append(out, kinds[i])
	}
	return out, nil
}

// Check says what is wrong with the settings, before anything is started.
func (s *Settings) Check() error {
	_, err := s.chosen()
	return err
}

// wants says whether the subject of this name is to be measured.
func (s *Settings) wants(name string) bool {
	return slices.ContainsFunc(strings.Split(s.Only, ","), func(word string) bool { return strings.Contains(name, strings.TrimSpace(word)) })
}

// pace tells how much longer a run will take: of each kind of step, by its name, it knows what is expected and then what it took.
type pace struct {
	expected map[string]time.Duration
	taken    map[string]time.Duration
	done     map[string]int
	ahead    map[string]int // steps still to come
}

func newPace() *pace {
	return &pace{expected: map[string]time.Duration{}, taken: map[string]time.Duration{}, done: map[string]int{}, ahead: map[string]int{}}
}

func (p *pace) plan(step string, count int, each time.Duration) {
	p.expected[step] = each
	p.ahead[step] += count
}

// did records a step.
func (p *pace) did(step string, took time.Duration) {
	p.taken[step] += took
	p.done[step]++
	p.ahead[step]--
}

// left is the time that the steps to come will take.
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
