package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Measurement is the figures of one subject in one test and round.
type Measurement struct {
	Test    string             `json:"test"`
	Subject string             `json:"subject"`
	Round   int                `json:"round"`           // from 0
	Cores   int                `json:"cores,omitempty"` // 0: all of the machine
	Values  map[string]float64 `json:"values"`          // by Metric.Key
}

// String returns the measurement as a line of progress.
func (m Measurement) String() string {
	var parts []string
	for _, g := range groups {
		for _, c := range g.columns {
			if v, ok := m.Values[c.metric.Key]; ok && slices.Contains(g.tests, m.Test) {
				parts = append(parts, fmt.Sprintf(c.metric.Verb, v*c.metric.Scale)+" "+c.metric.Title)
			}
		}
	}
	subject := m.Subject
	if m.Cores > 0 {
		subject += fmt.Sprintf(", cores: %d", m.Cores)
	}
	return fmt.Sprintf("%-20s %-27s %s", m.Test, subject, strings.Join(parts, "; "))
}

// A Stat is the median and the spread of several rounds.
type Stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"`
}

func stat(v []float64) Stat {
	if len(v) == 0 {
		return Stat{}
	}
	v = slices.Sorted(slices.Values(v))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + m) / 2
	}
	return Stat{Median: m, Min: v[0], Max: v[len(v)-1], Rounds: len(v)}
}

// percentile returns the smallest value that at least the fraction p of the values does not exceed
// (nearest rank). The values must be sorted. Without values it returns 0.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(max(int(math.Ceil(p*float64(len(sorted))))-1, 0), len(sorted)-1)]
}

// A Summary is the figures of one subject in one test, with one number of cores, over all rounds.
type Summary struct {
	Test    string          `json:"test"`
	Subject string          `json:"subject"`
	Cores   int             `json:"cores,omitempty"` // 0: all of the machine
	Values  map[string]Stat `json:"values"`          // by Metric.Key
	// Ratios are this subject's values divided by a baseline's of the same round, by the baseline's
	// name and by Metric.Key.
	Ratios map[string]map[string]Stat `json:"ratios"`
}

// A cell is the place of a measurement in the results.
type cell struct {
	test, subject string
	cores, round  int
}

// Summarize returns a summary for each test, subject and number of cores: tests in the order of the
// tables, subjects and cores in the order of their first measurements. Ratios to the baselines are
// taken within each round, since a disturbance of the machine then affects both sides of a ratio.
func Summarize(ms []Measurement, baselines ...string) []Summary {
	at := map[cell]Measurement{}
	var subjects []string
	var cores []int
	rounds := 0
	for _, m := range ms {
		at[cell{m.Test, m.Subject, m.Cores, m.Round}] = m
		rounds = max(rounds, m.Round+1)
		if !slices.Contains(subjects, m.Subject) {
			subjects = append(subjects, m.Subject)
		}
		if !slices.Contains(cores, m.Cores) {
			cores = append(cores, m.Cores)
		}
	}
	var out []Summary
	for _, g := range groups {
		for _, test := range g.tests {
			for _, subject := range subjects {
				for _, n := range cores {
					if s := summarize(at, cell{test, subject, n, rounds}, baselines); len(s.Values) > 0 {
						out = append(out, s)
					}
				}
			}
		}
	}
	return out
}

// summarize returns the summary of all rounds up to that of a cell.
func summarize(at map[cell]Measurement, of cell, baselines []string) Summary {
	values, ratios := map[string][]float64{}, map[[2]string][]float64{}
	for round := range of.round {
		one := of
		one.round = round
		for key, v := range at[one].Values {
			values[key] = append(values[key], v)
			for _, b := range baselines {
				// No ratio to a missing value or 0: the plain link has no VPN CPU.
				base := one
				base.subject = b
				if w := at[base].Values[key]; w > 0 {
					ratios[[2]string{b, key}] = append(ratios[[2]string{b, key}], v/w)
				}
			}
		}
	}
	s := Summary{Test: of.test, Subject: of.subject, Cores: of.cores, Values: map[string]Stat{}, Ratios: map[string]map[string]Stat{}}
	for key, v := range values {
		s.Values[key] = stat(v)
	}
	for k, v := range ratios {
		if s.Ratios[k[0]] == nil {
			s.Ratios[k[0]] = map[string]Stat{}
		}
		s.Ratios[k[0]][k[1]] = stat(v)
	}
	return s
}
