package mutate

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// block is a run of statements in a coverage profile. Lines and columns start at 1; the end is
// exclusive.
type block struct {
	fromLine, fromColumn, toLine, toColumn int
	count                                  int
}

// profile holds the blocks of a package by the name of the file, without its folder.
type profile map[string][]block

// parseProfile reads what -test.coverprofile wrote.
func parseProfile(text string) (profile, error) {
	p := profile{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, _ := strings.Cut(line, ":")
		var b block
		var statements int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.fromLine, &b.fromColumn, &b.toLine, &b.toColumn, &statements, &b.count); err != nil {
			return nil, fmt.Errorf("coverage profile: %q: %w", line, err)
		}
		name := path.Base(file)
		p[name] = append(p[name], b)
	}
	return p, nil
}

func (b block) holds(line, column int) bool {
	after := line > b.fromLine || line == b.fromLine && column >= b.fromColumn
	before := line < b.toLine || line == b.toLine && column < b.toColumn
	return after && before
}

// unrun reports whether the tests never run the code at a mutant. Code outside of every block, such
// as a constant's declaration, counts as run.
func (p profile) unrun(m Mutant) bool {
	inBlock := false
	for _, b := range p[filepath.Base(m.File)] {
		if b.holds(m.Line, m.Column) {
			if b.count > 0 {
				return false
			}
			inBlock = true
		}
	}
	return inBlock
}
