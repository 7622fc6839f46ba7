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
	Round   int                `json:"round"`  // from 0
	Values  map[string]float64 `json:"values"` // by Metric.Key
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
	return fmt.Sprintf("%-20s %-27s %s", m.Test, m.Subject, strings.Join(parts, "; "))
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

// A Summary is the figures of one subject in one test over all rounds.
type Summary struct {
	Test    string          `json:"test"`
	Subject string          `json:"subject"`
	Values  map[string]Stat `json:"values"` // by Metric.Key
	// Ratios are this subject's values divided by a baseline's of the same round, by the baseline's
	// name and by Metric.Key.
	Ratios map[string]map[string]Stat `json:"ratios"`
}

// A cell is the place of a measurement in the results.
type cell struct {
	test, subject string
	round         int
}

// Summarize returns a summary for each test and subject: tests in the order of the tables, subjects
// in the order of their first measurement. Ratios to the baselines are taken within each round,
// since a disturbance of the machine then affects both sides of a ratio.
func Summarize(ms []Measurement, baselines ...string) []Summary {
	at := map[cell]Measurement{}
	var subjects []string
	rounds := 0
	for _, m := range ms {
		at[cell{m.Test, m.Subject, m.Round}] = m
		rounds = max(rounds, m.Round+1)
		if !slices.Contains(subjects, m.Subject) {
			subjects = append(subjects, m.Subject)
		}
	}
	var out []Summary
	for _, g := range groups {
		for _, test := range g.tests {
			for _, subject := range subjects {
				if s := summarize(at, test, subject, rounds, baselines); len(s.Values) > 0 {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

func summarize(at map[cell]Measurement, test, subject string, rounds int, baselines []string) Summary {
	values, ratios := map[string][]float64{}, map[[2]string][]float64{}
	for round := range rounds {
		for key, v := range at[cell{test, subject, round}].Values {
			values[key] = append(values[key], v)
			for _, b := range baselines {
				// No ratio to a missing value or 0: the plain link has no VPN CPU.
				if of := at[cell{test, b, round}].Values[key]; of > 0 {
					ratios[[2]string{b, key}] = append(ratios[[2]string{b, key}], v/of)
				}
			}
		}
	}
	s := Summary{Test: test, Subject: subject, Values: map[string]Stat{}, Ratios: map[string]map[string]Stat{}}
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
