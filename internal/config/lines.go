package config

import (
	"fmt"
	"strings"
)

// A lineIndex maps the path of each key of a TOML document to its line; the path
// "peer[0].child[1].remote[2]" is the third element of that list. The TOML library gives positions
// of syntax errors only.
type lineIndex map[string]int

// indexLines indexes a document that the TOML library has accepted. For any other document the
// index is unspecified, but indexLines ends and does not panic.
func indexLines(doc string) lineIndex {
	s := &lineScanner{doc: doc, line: 1, index: lineIndex{}, tables: map[string]int{}}
	prefix := ""
	for s.skipBlank(true); s.pos < len(s.doc); s.skipBlank(true) {
		if s.peek() == '[' {
			prefix = s.header()
			continue
		}
		before := s.pos
		s.keyValue(prefix)
		if s.pos == before {
			s.next()
		}
	}
	return s.index
}

// maxDepth bounds the recursion into values.
const maxDepth = 64

type lineScanner struct {
	doc    string
	pos    int
	line   int
	depth  int
	index  lineIndex
	tables map[string]int // number of [[name]] so far
}

func (s *lineScanner) peek() byte {
	if s.pos >= len(s.doc) {
		return 0
	}
	return s.doc[s.pos]
}

func (s *lineScanner) next() {
	if s.peek() == '\n' {
		s.line++
	}
	s.pos++
}

func (s *lineScanner) accept(token string) bool {
	if !strings.HasPrefix(s.doc[min(s.pos, len(s.doc)):], token) {
		return false
	}
	s.pos += len(token)
	return true
}

// skipBlank skips spaces, and with lines also comments and line ends.
func (s *lineScanner) skipBlank(lines bool) {
	for s.pos < len(s.doc) {
		switch c := s.peek(); {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			s.next()
		case c == '#' && lines:
			s.toLineEnd()
		default:
			return
		}
	}
}

func (s *lineScanner) toLineEnd() {
	for s.pos < len(s.doc) && s.peek() != '\n' {
		s.pos++
	}
}

// header reads "[a.b]" or "[[a.b]]" and returns the path of the table that it opens.
func (s *lineScanner) header() string {
	s.accept("[")
	array := s.accept("[")
	line := s.line
	path, parts := "", s.dotted()
	for i, part := range parts {
		path = join(path, part)
		if array && i == len(parts)-1 {
			s.tables[path]++
		}
		if n := s.tables[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
	}
	s.note(path, line)
	s.toLineEnd()
	return path
}

// keyValue reads "a.b = value" below prefix.
func (s *lineScanner) keyValue(prefix string) {
	line := s.line
	path := prefix
	for _, part := range s.dotted() {
		path = join(path, part)
		s.note(path, line)
	}
	s.skipBlank(false)
	if s.accept("=") {
		s.skipBlank(false)
		s.value(path)
	}
}

// note records the line of a path, unless it has one: several dotted keys may name one table.
func (s *lineScanner) note(path string, line int) {
	if _, ok := s.index[path]; !ok {
		s.index[path] = line
	}
}

func (s *lineScanner) dotted() []string {
	var parts []string
	for {
		s.skipBlank(false)
		parts = append(parts, s.keyPart())
		s.skipBlank(false)
		if !s.accept(".") {
			return parts
		}
	}
}

func (s *lineScanner) keyPart() string {
	start := s.pos
	switch s.peek() {
	case '"', '\'':
		s.quoted()
		return strings.Trim(s.doc[start:min(s.pos, len(s.doc))], `"'`)
	}
	for s.pos < len(s.doc) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.peek())) {
		s.pos++
	}
	return s.doc[start:s.pos]
}

// value reads a value of any type. The path is that of its key.
func (s *lineScanner) value(path string) {
	s.depth++
	defer func() { s.depth-- }()
	switch c := s.peek(); {
	case s.depth > maxDepth:
		s.pos = len(s.doc)
	case c == '"' || c == '\'':
		s.quoted()
	case c == '[':
		s.array(path)
	case c == '{':
		s.inlineTable(path)
	default:
		for s.pos < len(s.doc) && !strings.ContainsRune(",]}#\r\n", rune(s.peek())) {
			s.pos++
		}
	}
}

func (s *lineScanner) array(path string) {
	s.next()
	for i := 0; s.pos < len(s.doc); i++ {
		s.skipBlank(true)
		if s.accept("]") {
			return
		}
		element := fmt.Sprintf("%s[%d]", path, i)
		s.note(element, s.line)
		s.value(element)
		s.skipBlank(true)
		if !s.accept(",") && s.peek() != ']' {
			return
		}
	}
}

func (s *lineScanner) inlineTable(path string) {
	s.next()
	for s.pos < len(s.doc) {
		s.skipBlank(true)
		if s.accept("}") {
			return
		}
		s.keyValue(path)
		s.skipBlank(true)
		if !s.accept(",") && s.peek() != '}' {
			return
		}
	}
}

// quoted skips a string of any of TOML's four kinds.
func (s *lineScanner) quoted() {
	quote := s.doc[s.pos : s.pos+1]
	escapes := quote == `"`
	if long := strings.Repeat(quote, 3); s.accept(long) {
		quote = long
	} else {
		s.next()
	}
	for s.pos < len(s.doc) {
		switch {
		case escapes && s.peek() == '\\':
			s.next()
			s.next()
		case s.accept(quote):
			// Up to two quotation marks may directly precede the closing three.
			for len(quote) == 3 && s.accept(quote[:1]) {
				continue
			}
			return
		default:
			s.next()
		}
	}
}

func join(prefix, part string) string {
	if prefix == "" {
		return part
	}
	return prefix + "." + part
}
