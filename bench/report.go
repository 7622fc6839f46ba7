// Package bench is the benchmark harness: it runs culvert and its rivals in the same namespaces, interleaved in one run, and reports ratios.
// It is not part of any other package.
package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Measurement is one subject's figures in one round.
type Measurement struct {
	Subject       string  `json:"subject"`
	Round         int     `json:"round"`
	Test          string  `json:"test"`
	GbitPerSecond float64 `json:"gbit_per_s"`
	// CPUPerGB is the CPU seconds that the VPN's processes, both gateways together, spent for each GB (10^9 octets) of payload.
	CPUPerGB float64 `json:"vpn_cpu_s_per_gb"`
	// MachineCPUPerGB counts all of the machine: VPN, kernel, sender, receiver.
	MachineCPUPerGB float64 `json:"machine_cpu_s_per_gb"`
	// Milliseconds is the result of FirstPacket, which has no throughput.
	Milliseconds float64 `json:"ms,omitempty"`
}

// FirstPacket is the test that measures the time from a gateway's start to the first packet through the tunnel.
const FirstPacket = "start to first packet"

// String is the measurement in a line of progress.
func (m Measurement) String() string {
	if m.Test == FirstPacket {
		return fmt.Sprintf("%-22s %6.0f ms", m.Test, m.Milliseconds)
	}
	return fmt.Sprintf("%-22s %6.2f Gbit/s  %5.2f s/GB VPN  %5.2f s/GB machine", m.Test, m.GbitPerSecond, m.CPUPerGB, m.MachineCPUPerGB)
}

// Stat is the median of some rounds and their spread.
type Stat struct{ Median, Min, Max float64 }

func stat(v []float64) Stat {
	if len(v) == 0 {
		return Stat{}
	}
	v = slices.Sorted(slices.Values(v))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + m) / 2
	}
	return Stat{Median: m, Min: v[0], Max: v[len(v)-1]}
}

// Summary is one subject's figures in one test over all rounds, and as ratios to the baseline's in the same round.
type Summary struct {
	Subject, Test                  string
	Gbit, CPU, Machine, First      Stat
	GbitRatio, CPURatio, MachRatio Stat
}

// Summarize gathers the measurements by test and subject, in the order in which they first came. Ratios are taken round by round, so that what
// disturbs a round disturbs both sides of the ratio.
func Summarize(ms []Measurement, baseline string) []Summary {
	type key struct{ test, subject string }
	base := map[[2]any]Measurement{}
	groups := map[key][]Measurement{}
	var order []key
	for _, m := range ms {
		k := key{m.Test, m.Subject}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], m)
		if m.Subject == baseline {
			base[[2]any{m.Test, m.Round}] = m
		}
	}
	slices.SortStableFunc(order, func(a, b key) int { return cmp.Compare(a.test, b.test) })
	out := make([]Summary, 0, len(order))
	for _, k := range order {
		out = append(out, summarize(k.subject, k.test, groups[k], func(round int) (Measurement, bool) {
			m, ok := base[[2]any{k.test, round}]
			return m, ok
		}))
	}
	return out
}

func summarize(subject, test string, ms []Measurement, base func(int) (Measurement, bool)) Summary {
	var first, gbit, cpu, machine, rGbit, rCPU, rMachine []float64
	for _, m := range ms {
		if m.Test == FirstPacket {
			first = append(first, m.Milliseconds)
			continue
		}
		gbit, cpu, machine = append(gbit, m.GbitPerSecond), append(cpu, m.CPUPerGB), append(machine, m.MachineCPUPerGB)
		if b, ok := base(m.Round); ok {
			rGbit = append(rGbit, m.GbitPerSecond/b.GbitPerSecond)
			rMachine = append(rMachine, m.MachineCPUPerGB/b.MachineCPUPerGB)
			if b.CPUPerGB > 0 {
				rCPU = append(rCPU, m.CPUPerGB/b.CPUPerGB)
			}
		}
	}
	return Summary{Subject: subject, Test: test, Gbit: stat(gbit), CPU: stat(cpu), Machine: stat(machine), First: stat(first), GbitRatio: stat(rGbit), CPURatio: stat(rCPU), MachRatio: stat(rMachine)}
}

// Table writes the summaries as a Markdown table, medians with the spread in brackets.
func Table(w io.Writer, sums []Summary, baseline string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintf(tw, "| test\t| subject\t| Gbit/s\t| ratio to %s\t| VPN CPU s/GB\t| ratio\t| machine CPU s/GB\t| ratio\t|\n", baseline)
	fmt.Fprintln(tw, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	f := func(s Stat) string {
		if s.Max == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max)
	}
	for _, s := range sums {
		if s.Test == FirstPacket {
			continue
		}
		fmt.Fprintf(tw, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", s.Test, s.Subject, f(s.Gbit), f(s.GbitRatio), f(s.CPU), f(s.CPURatio), f(s.Machine), f(s.MachRatio))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range sums {
		if s.Test == FirstPacket {
			fmt.Fprintf(w, "%s: %s: %.0f ms (%.0f-%.0f)\n", s.Test, s.Subject, s.First.Median, s.First.Min, s.First.Max)
		}
	}
	return nil
}
