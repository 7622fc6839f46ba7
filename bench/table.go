package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tables writes the summaries as Markdown tables, one for each group of tests: medians, with the
// spread in brackets. Ratios to a baseline that was not measured are left out.
func Tables(w io.Writer, sums []Summary) error {
	for _, g := range groups {
		rows := g.rows(sums)
		if len(rows) < 2 {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\n\n%s\n", g.title, markdown(rows)); err != nil {
			return err
		}
	}
	return nil
}

// rows returns the header and a row for each summary of the group's tests.
func (g group) rows(sums []Summary) [][]string {
	header := []string{"test", "subject"}
	byCores := slices.ContainsFunc(sums, func(s Summary) bool { return s.Cores > 0 })
	if byCores {
		header = append(header, "cores")
	}
	var cells []func(Summary) string
	for _, c := range g.columns {
		if c.metric == AllTunnels && !slices.ContainsFunc(sums, func(s Summary) bool { return s.Values[c.metric.Key].Rounds > 0 }) {
			continue // there is one
		}
		header = append(header, c.metric.Title)
		cells = append(cells, func(s Summary) string { return c.metric.format(s.Values[c.metric.Key]) })
		for _, base := range c.ratios {
			if !slices.ContainsFunc(sums, func(s Summary) bool { return s.Subject == base && slices.Contains(g.tests, s.Test) }) {
				continue
			}
			header = append(header, "to "+base)
			cells = append(cells, func(s Summary) string { return ratio.format(s.Ratios[base][c.metric.Key]) })
		}
	}
	rows := [][]string{header}
	for _, s := range sums {
		if !slices.Contains(g.tests, s.Test) {
			continue
		}
		row := []string{s.Test, s.Subject}
		if byCores {
			row = append(row, fmt.Sprint(s.Cores))
		}
		for _, f := range cells {
			row = append(row, f(s))
		}
		rows = append(rows, row)
	}
	return rows
}

var ratio = Metric{Verb: "%.2f", Scale: 1}

func (m Metric) format(s Stat) string {
	if s.Rounds == 0 {
		return "-"
	}
	v := func(x float64) string { return fmt.Sprintf(m.Verb, x*m.Scale) }
	return fmt.Sprintf("%s (%s-%s)", v(s.Median), v(s.Min), v(s.Max))
}

// markdown returns the rows as a table whose columns are aligned in plain text.
func markdown(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, c := range row {
			fmt.Fprintf(&b, "| %s%s ", c, strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)))
		}
		b.WriteString("|\n")
		if n == 0 {
			for i := range row {
				fmt.Fprintf(&b, "| --- %s", strings.Repeat(" ", max(width[i]-3, 0)))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
