package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"culvert/internal/control"
)

// A choice is which peers of a status are shown.
type choice struct {
	down  bool   // only those that are down or have a verdict of warn or bad
	names string // a pattern of path.Match for names; "": all
	limit int    // at most; 0: all
}

// of returns the chosen peers, those that need somebody first, and how many others there are that
// the limit left out.
func (c choice) of(peers []control.Peer) (chosen []*control.Peer, more int) {
	for i := range peers {
		p := &peers[i]
		if c.down && need(p) == needNone || c.names != "" && !matches(c.names, p) {
			continue
		}
		chosen = append(chosen, p)
	}
	slices.SortStableFunc(chosen, func(a, b *control.Peer) int { return cmp.Compare(need(a), need(b)) })
	if c.limit > 0 && len(chosen) > c.limit {
		return chosen[:c.limit], len(chosen) - c.limit
	}
	return chosen, 0
}

// matches reports whether a pattern matches the name of a peer, or that of a party.
func matches(pattern string, p *control.Peer) bool {
	name, _ := path.Match(pattern, p.Name)
	address, _ := path.Match(pattern, p.Address())
	return name || address
}

// How much a peer needs somebody.
const (
	needNow  = iota // something that is wanted does not work
	needSoon        // it works, and something is wrong
	needDown        // it is down, and may be
	needNone
)

func need(p *control.Peer) int {
	worst := ""
	if len(p.Verdicts) > 0 {
		worst = p.Verdicts[0].Level
	}
	switch {
	case worst == "bad" || lacking(p):
		return needNow
	case worst == "warn":
		return needSoon
	case !isUp(p):
		return needDown
	}
	return needNone
}

func isUp(p *control.Peer) bool {
	return p.State == "established" || p.State == "rekeying" || p.State == "manual"
}

func childUp(c *control.Child) bool { return c.State == "installed" || c.State == "rekeying" }

// lacking reports whether the peer or a child of it is down that is wanted, and that no operator
// took down.
func lacking(p *control.Peer) bool {
	if !isUp(p) && p.Wanted && p.TakenDown == nil {
		return true
	}
	return slices.ContainsFunc(p.Children, func(c control.Child) bool { return c.Wanted && !childUp(&c) && c.TakenDown == nil })
}

// overview returns the status for people: a summary, a line for each peer, and below those that
// need somebody the reason. No line is wider than width; 0: they may be.
func overview(st *control.Status, show choice, colour bool, width int) string {
	var b strings.Builder
	fmt.Fprintln(&b, summary(st.Peers))
	chosen, more := show.of(st.Peers)
	t := table{colour: colour, width: width}
	t.add("", "PEER", "STATE", "CHILDREN", "RECEIVED", "SENT", "SINCE")
	for _, p := range chosen {
		t.peer(p)
	}
	if len(chosen) > 0 {
		t.write(&b)
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %s that --limit leaves out\n", count(more, "peer", "peers"))
	}
	for _, line := range footer(st) {
		fmt.Fprintf(&b, "%s\n", cut(clean(line), width))
	}
	return b.String()
}

// summary counts peers and children by what they do.
func summary(peers []control.Peer) string {
	up, down, children, childrenUp := 0, 0, 0, 0
	for i := range peers {
		p := &peers[i]
		if isUp(p) {
			up++
		} else {
			down++
		}
		for j := range p.Children {
			if children++; childUp(&p.Children[j]) {
				childrenUp++
			}
		}
	}
	if len(peers) == 0 {
		return "no peers are configured"
	}
	return fmt.Sprintf("%s: %d up, %d down; %s: %d up", count(len(peers), "peer", "peers"), up, down, count(children, "child", "children"), childrenUp)
}

// footer returns what else should be known, a line for each.
func footer(st *control.Status) (lines []string) {
	for i := range st.Certificates {
		if c := &st.Certificates[i]; c.Trouble != "" {
			lines = append(lines, "certificate "+c.Subject+": "+c.Trouble)
		}
	}
	if n := len(st.Strangers); n > 0 {
		last := &st.Strangers[n-1]
		lines = append(lines, fmt.Sprintf("%s refused, the last one %s ago: %s", count(n, "caller was", "callers were"), span(&last.Last), last.Reason))
	}
	if st.KeyLog != "" {
		lines = append(lines, "keys are written to "+st.KeyLog+" (key_log)")
	}
	if st.Guard.State == "none" {
		lines = append(lines, "guard: "+guardLine(&st.Guard))
	}
	return lines
}

// A table has columns that the eye can compare, and between its rows lines of text.
type table struct {
	colour bool
	width  int
	rows   []tableRow
}

// A tableRow is a row, or with text a line of it.
type tableRow struct {
	state string // its colour
	cells []string
	text  string
}

func (t *table) add(state string, cells ...string) {
	t.rows = append(t.rows, tableRow{state: state, cells: cells})
}

// peer adds a peer, and if it needs somebody why.
func (t *table) peer(p *control.Peer) {
	up, in, out := 0, uint64(0), uint64(0)
	for i := range p.Children {
		c := &p.Children[i]
		if childUp(c) {
			up++
		}
		in, out = in+c.BytesIn, out+c.BytesOut
	}
	since := ""
	if p.Established != nil {
		since = span(p.Established)
	}
	t.add(p.State, p.Address(), p.State, fmt.Sprintf("%d of %d", up, len(p.Children)), amount(in), amount(out), since)
	if why := whyNeeded(p); why != "" {
		t.rows = append(t.rows, tableRow{text: "  " + why})
	}
}

// whyNeeded returns why a peer needs somebody, in a line; "" if it does not.
func whyNeeded(p *control.Peer) string {
	if need(p) == needNone {
		return ""
	}
	for i := range p.Verdicts {
		if v := &p.Verdicts[i]; v.Level != "note" {
			if v.Child != "" {
				return v.Child + ": " + v.Text
			}
			return v.Text
		}
	}
	for i := range p.Children {
		if c := &p.Children[i]; isUp(p) && c.Wanted && !childUp(c) && c.Reason != "" {
			return c.Name + ": " + c.Reason
		}
	}
	return p.Reason
}

// maxName is the widest column of names on a terminal of 80 columns.
const maxName = 24

// write writes the table. Numbers are to the right of their columns.
func (t *table) write(b *strings.Builder) {
	var widths []int
	for i := range t.rows {
		for j, cell := range t.rows[i].cells {
			t.rows[i].cells[j] = clean(cell)
			if j == 0 && t.width > 0 {
				t.rows[i].cells[j] = cut(t.rows[i].cells[j], max(maxName, t.width-56))
			}
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], utf8.RuneCountInString(t.rows[i].cells[j]))
		}
	}
	for i := range t.rows {
		r := &t.rows[i]
		if r.text != "" {
			b.WriteString(cut(clean(r.text), t.width) + "\n")
			continue
		}
		var line strings.Builder
		for j, cell := range r.cells {
			space := pad(cell, widths[j])
			if c := colours[r.state]; j == 1 && t.colour && c != "" {
				cell = c + cell + plain
			}
			if j < 3 {
				cell += space
			} else {
				cell = space + cell
			}
			line.WriteString(cell + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// cut shortens text to a width in characters; 0: it does not.
func cut(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return strings.TrimRight(string(runes[:width-1]), " ") + "…"
}
