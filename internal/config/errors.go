package config

import (
	"fmt"
	"slices"
	"strings"
)

// An Error is one error or warning about a configuration, with its place.
type Error struct {
	File string // as the operator named it
	Line int    // 0: the file as a whole
	Text string
}

// Error returns "file:line: text".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Errors are all errors of a configuration.
type Errors []*Error

// Error returns one error in each line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the errors ordered by file, in the order in which the files were read, then by
// line.
func (es Errors) sorted(files []string) Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		if a.File != b.File {
			return slices.Index(files, a.File) - slices.Index(files, b.File)
		}
		return a.Line - b.Line
	})
	return es
}

// Nearest returns the element of known that word most likely misspells, or "" if none is close. It
// is for words of the command line.
func Nearest(word string, known []string) string { return nearest(word, known) }

// nearest returns the element of known that word most likely misspells, or "" if none is close.
func nearest(word string, known []string) string {
	if len(word) > maxName {
		return ""
	}
	best, bestCost := "", 1+len(word)/3
	for _, k := range known {
		if cost := editDistance(word, k); cost <= bestCost && (best == "" || cost < bestCost) {
			best, bestCost = k, cost
		}
	}
	return best
}

// editDistance returns the number of insertions, deletions, substitutions and swaps of neighbours
// that turn a into b.
func editDistance(a, b string) int {
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		two, one, row = one, row, two
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
