package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// This file is how words and numbers are written for people.

// minColumn is the narrowest column, in characters, into which text is folded.
const minColumn = 30

// fold breaks text between words so that it fits into the columns from indent to width.
// Continuation lines are indented to the first.
func fold(text string, indent, width int) string {
	room := width - indent
	if room < minColumn {
		return text
	}
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > room:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

func pad(s string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func join(parts []string, reason string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	text := strings.Join(parts, ", ")
	if reason != "" && text != "" {
		return text + ": " + reason
	}
	return text + reason
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func traffic(octets, packets uint64, last *float64) string {
	text := fmt.Sprintf("%s in %s", amount(octets), count(packets, "packet", "packets"))
	if last != nil {
		text += fmt.Sprintf(" (%s ago)", span(last))
	}
	return text
}

// amount returns a number of octets with a decimal unit, such as "1.5 MB".
func amount(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if value /= 1000; value < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// span returns a duration, rounded to seconds, in its two largest units.
func span(seconds *float64) string {
	d := time.Duration(max(0, *seconds) * float64(time.Second)).Round(time.Second)
	days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// nonZero returns the counters that are not zero, ordered by name.
func nonZero(counters map[string]uint64) string {
	var parts []string
	for name, n := range counters {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// clean escapes unprintable characters, since texts may contain what peers sent and could otherwise
// control the terminal.
func clean(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }
