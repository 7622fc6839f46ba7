package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"culvert/internal/control"
)

// ANSI colours of states.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// colours maps states to colours: green for good, yellow for transient, red for bad ones.
var colours = map[string]string{
	"established": green, "installed": green, "manual": green,
	"connecting": yellow, "rekeying": yellow, "closing": yellow, "negotiating": yellow, "waiting": yellow,
	"down": red,
}

// A row is one line of the status.
type row struct{ name, state, details string }

// verdictTexts returns what is wrong with a peer and its children, each with its remedy.
func verdictTexts(p *control.Peer) (texts []string) {
	for i := range p.Verdicts {
		v := &p.Verdicts[i]
		text := v.Text
		if v.Child != "" {
			text = v.Child + ": " + text
		}
		if v.Remedy != "" {
			text += "; " + v.Remedy
		}
		texts = append(texts, text)
	}
	return texts
}

// render returns the status for people: an aligned line for each peer and child, then, with
// counters, the guard and the counters that are not zero. Lines wider than width are folded; 0
// folds none.
func render(st *control.Status, counters, colour bool, width int) string {
	var rows []row
	for i := range st.Peers {
		p := &st.Peers[i]
		name, state := clean(p.Address()), clean(p.State)
		for _, text := range append(verdictTexts(p), peerDetails(p)) {
			rows = append(rows, row{name, state, clean(text)})
			name, state = "", "" // the rest is below
		}
		rows = append(rows, failureRows(p.Failure, p.Reason)...)
		rows = append(rows, failureRows(p.RefusedCall, p.Reason)...)
		for j := range p.Children {
			c := &p.Children[j]
			rows = append(rows, row{"  " + clean(c.Name), clean(c.State), clean(childDetails(p, c))})
			rows = append(rows, failureRows(c.Failure, c.Reason)...)
			for k := range c.PartSAs {
				sa := &c.PartSAs[k]
				rows = append(rows, row{"    part", clean(sa.State), clean(partDetails(sa))})
			}
			for k := range c.WorkerSAs {
				sa := &c.WorkerSAs[k]
				rows = append(rows, row{fmt.Sprintf("    worker %d", sa.Worker), clean(sa.State), clean(workerDetails(sa))})
			}
		}
	}
	var b strings.Builder
	writeRows(&b, rows, colour, width)
	if len(rows) == 0 {
		b.WriteString("no peers are configured\n")
	}
	for _, line := range partyLines(st.Peers) {
		fmt.Fprintf(&b, "%s\n", clean(line))
	}
	for _, line := range certificateLines(st.Certificates) {
		fmt.Fprintf(&b, "%s\n", fold(clean(line), 2, width))
	}
	if st.KeyLog != "" {
		fmt.Fprintf(&b, "\nkeys are written to %s: whoever reads them can decrypt the traffic (key_log)\n", clean(st.KeyLog))
	}
	for _, line := range strangerLines(st.Strangers) {
		fmt.Fprintf(&b, "%s\n", fold(clean(line), 2, width))
	}
	if line := guardLine(&st.Guard); counters && line != "" {
		fmt.Fprintf(&b, "\nguard: %s\n", fold(clean(line), len("guard: "), width))
	}
	if counters {
		writeFastPath(&b, st, width)
	}
	if line := nonZero(st.Counters); counters && line != "" {
		fmt.Fprintf(&b, "\ncounters: %s\n", fold(clean(line), len("counters: "), width))
	}
	return b.String()
}

// writeFastPath writes how protocol 50 comes and leaves.
func writeFastPath(b *strings.Builder, st *control.Status, width int) {
	for _, d := range []struct{ head, state string }{
		{"protocol 50 received past the IP stack: ", st.FastPath}, {"protocol 50 sent past the IP stack: ", st.FastSent},
	} {
		if d.state != "" {
			fmt.Fprintf(b, "\n%s%s\n", d.head, fold(clean(d.state), len(d.head), width))
		}
	}
}

// partyLines tells how many parties the peers with many have.
func partyLines(peers []control.Peer) (lines []string) {
	for i, p := range peers {
		if p.Parties == nil || i > 0 && peers[i-1].Name == p.Name {
			continue
		}
		line := fmt.Sprintf("%s: %d of at most %d parties are connected", p.Name, p.Parties.Connected, p.Parties.Max)
		if n := p.Parties.Refused; n > 0 {
			line += fmt.Sprintf("; %d more were refused", n)
		}
		lines = append(lines, line)
	}
	return lines
}

// maxStrangersShown bounds the strangers of the status for people; `status --json` has all.
const maxStrangersShown = 5

// strangerLines tells of the last refused callers, the last one first.
func strangerLines(list []control.Stranger) (lines []string) {
	for i, s := range slices.Backward(list) {
		if len(lines) == 0 {
			lines = append(lines, "", "calls that were refused; anybody can have made them:")
		}
		if n := len(list) - maxStrangersShown; n > i {
			return append(lines, fmt.Sprintf("  and those of %s before", count(n, "caller", "callers")))
		}
		claims := ""
		if s.Claims != "" {
			claims = ", as " + s.Claims
		}
		lines = append(lines, fmt.Sprintf("  %s ago, %s%s: %s", span(&s.Last), count(s.Times, "time", "times"), claims, s.Reason))
	}
	return lines
}

// guardLine tells of the guard in a line, or "" if the daemon does not know of any.
func guardLine(g *control.Guard) string {
	switch g.State {
	case "on":
		s := fmt.Sprintf("on; dropped %d out, %d in, %d icmp", g.Drops.Out, g.Drops.In, g.Drops.ICMP)
		if g.Repairs > 0 {
			s += fmt.Sprintf("; restored %s after changes by other programs", count(g.Repairs, "time", "times"))
		}
		return s
	case "none":
		return "none (" + g.Reason + "): only routes keep traffic from leaving unprotected"
	}
	return g.State
}

func writeRows(b *strings.Builder, rows []row, colour bool, width int) {
	nameWidth, stateWidth := 0, 0
	for _, r := range rows {
		nameWidth, stateWidth = max(nameWidth, utf8.RuneCountInString(r.name)), max(stateWidth, utf8.RuneCountInString(r.state))
	}
	for _, r := range rows {
		state := r.state + pad(r.state, stateWidth)
		if c := colours[r.state]; colour && c != "" {
			state = c + r.state + plain + pad(r.state, stateWidth)
		}
		b.WriteString(strings.TrimRight(r.name+pad(r.name, nameWidth)+"  "+state+"  "+fold(r.details, nameWidth+stateWidth+4, width), " ") + "\n")
	}
}

// peerDetails returns a peer's addresses, identity, algorithms and times, and the reason for its
// state.
func peerDetails(p *control.Peer) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	who := p.RemoteID
	switch {
	case p.Local != "" && p.Remote != "":
		who = fmt.Sprintf("%s <-> %s (%s)", p.Local, p.Remote, p.RemoteID)
	case p.Remote != "":
		who = fmt.Sprintf("%s (%s)", p.Remote, p.RemoteID)
	}
	add("%s", strings.TrimSuffix(who, " ()"))
	if p.Proposal != "" {
		add("%s", p.Proposal)
	}
	if p.NAT != "none" && p.NAT != "" {
		add("NAT: %s", p.NAT)
	}
	if p.Established != nil {
		add("up %s", span(p.Established))
	}
	if bare(p) {
		add("IKE SA without a Child SA")
	}
	if p.RekeyIn != nil {
		add("rekey in %s", span(p.RekeyIn))
	}
	if p.Unreachable != "" && !strings.Contains(p.Reason, p.Unreachable) {
		add("%s", p.Unreachable)
	}
	return join(parts, p.Beside(p.State, p.Reason))
}

// failureRows returns a row for each line of the details of a failure that the reason above tells
// of: what both sides offered, and the like.
func failureRows(f *control.Failure, reason string) (rows []row) {
	if f == nil || f.Cause == "narrowed" || !strings.Contains(reason, f.Text) {
		return nil
	}
	for _, line := range f.Details {
		rows = append(rows, row{details: clean(line)})
	}
	return rows
}

// bare reports whether a peer is up and none of its children is.
func bare(p *control.Peer) bool {
	up := func(c control.Child) bool { return c.State == "installed" || c.State == "rekeying" }
	return (p.State == "established" || p.State == "rekeying") && !slices.ContainsFunc(p.Children, up)
}

func childDetails(p *control.Peer, c *control.Child) string {
	parts := []string{strings.Join(c.LocalTS, " ") + " <-> " + strings.Join(c.RemoteTS, " ")}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.Narrowed && c.Failure == nil {
		add("narrowed by the peer from %s <-> %s", strings.Join(c.AskedLocal, " "), strings.Join(c.AskedRemote, " "))
	}
	if r := c.Role; r != nil {
		add("%s for %s (%s)", map[bool]string{true: "active", false: "stands by"}[r.Active], span(&r.For), r.Why)
	}
	if c.SPIIn != "" || c.SPIOut != "" {
		if c.Mode == "transport" {
			add("transport mode")
		}
		add("%s in %s out %s", c.Encap, orNone(c.SPIIn), orNone(c.SPIOut))
		if c.EncapWhy != "" {
			add("%s because %s", c.Encap, c.EncapWhy)
		}
		add("%s", c.Proposal)
		add("mtu %d", c.MTU)
	}
	if c.SPIIn != "" || c.SPIOut != "" || c.PacketsIn+c.PacketsOut > 0 {
		add("received %s, sent %s", traffic(c.BytesIn, c.PacketsIn, c.LastIn), traffic(c.BytesOut, c.PacketsOut, c.LastOut))
	}
	if c.RekeyIn != nil {
		add("rekey in %s", span(c.RekeyIn))
	}
	if c.Rekeys > 0 {
		add("rekeyed %s", count(c.Rekeys, "time", "times"))
	}
	if drops := nonZero(c.Drops); drops != "" {
		add("dropped: %s", drops)
	}
	if g := c.GuardDrops; g != nil && g.Out+g.In > 0 {
		add("dropped by the guard: %d out, %d in", g.Out, g.In)
	}
	return join(parts, p.Beside(c.State, c.Reason))
}

// partDetails returns the networks, the SPIs and the traffic of a Child SA for a part of a child.
func partDetails(sa *control.PartSA) string {
	parts := []string{
		strings.Join(sa.LocalTS, " ") + " <-> " + strings.Join(sa.RemoteTS, " "),
		fmt.Sprintf("in %s out %s", sa.SPIIn, sa.SPIOut),
		fmt.Sprintf("received %s, sent %s", traffic(sa.BytesIn, sa.PacketsIn, sa.LastIn), traffic(sa.BytesOut, sa.PacketsOut, sa.LastOut)),
	}
	if sa.RekeyIn != nil {
		parts = append(parts, "rekey in "+span(sa.RekeyIn))
	}
	return strings.Join(parts, ", ")
}

// workerDetails returns the SPIs, the traffic and the port of a Child SA that serves a single
// worker.
func workerDetails(sa *control.WorkerSA) string {
	if sa.SPIIn == "" {
		return ""
	}
	parts := []string{
		fmt.Sprintf("in %s out %s", sa.SPIIn, sa.SPIOut),
		fmt.Sprintf("received %s, sent %s", traffic(sa.BytesIn, sa.PacketsIn, sa.LastIn), traffic(sa.BytesOut, sa.PacketsOut, sa.LastOut)),
	}
	switch {
	case sa.SourcePort != 0:
		parts = append(parts, fmt.Sprintf("from port %d", sa.SourcePort))
	case sa.SourceWhy != "":
		parts = append(parts, sa.SourceWhy)
	}
	if sa.RekeyIn != nil {
		parts = append(parts, "rekey in "+span(sa.RekeyIn))
	}
	return strings.Join(parts, ", ")
}
