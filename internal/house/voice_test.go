package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxColumns is the greatest width of a comment and of a line of a document.
const maxColumns = 100

// turns are turns of phrase that do not come back, in comments, documents and texts for operators.
var turns = []*regexp.Regexp{
	regexp.MustCompile(`\bsays? whether\b`), // reports whether
	regexp.MustCompile(`\banew\b`),          // again
	regexp.MustCompile(`\bin vain\b`),
	regexp.MustCompile(`\bto and fro\b`),
	regexp.MustCompile(`\bwhence\b`),
	regexp.MustCompile(`\b(leaves?|left) away\b`), // omit
	regexp.MustCompile(`\bso (many|often)\b`),     // a number
	regexp.MustCompile(`\bsave that\b`),           // except that
	regexp.MustCompile(`\b(too|all the same)[.:;)]`),
	regexp.MustCompile(`\b(is|are) no [a-z]+`), // is not a; see allowedNo
}

// allowedNo are uses of "is no" and "are no" that are plain English.
var allowedNo = regexp.MustCompile(`(?i)\b(there (is|are) no|(is|are) no (longer|more|less|larger|smaller|greater|later|earlier|older|newer|wider|fewer|better|worse|other)\b)`)

// TestProse holds comments, texts for operators and documents to the house's voice: their width and
// their turns of phrase.
func TestProse(t *testing.T) {
	for _, text := range append(comments(t), documents(t)...) {
		for i, line := range text.lines {
			if text.wide(line) {
				t.Errorf("%s:%d: wider than %d columns", text.path, text.first+i, maxColumns)
			}
			if turn := turnIn(line); turn != "" && !text.turns {
				t.Errorf("%s:%d: %q does not come back", text.path, text.first+i, turn)
			}
		}
	}
}

func turnIn(line string) string {
	line = allowedNo.ReplaceAllString(line, "")
	for _, turn := range turns {
		if m := turn.FindString(line); m != "" {
			return strings.TrimSpace(m)
		}
	}
	return ""
}

func TestTurnIn(t *testing.T) {
	for line, want := range map[string]bool{
		"usable says whether it can be used":       true,
		"usable reports whether it can be used":    false,
		`local = "x" is no address`:                true,
		"there is no address":                      false,
		"it is no longer in use":                   false,
		"the request is sent anew":                 true,
		"which is bounded too.":                    true,
		"a value that is too large is refused":     false,
		"these are no packets of ours":             true,
		"the peers that are up":                    false,
		"a host that is not behind a NAT":          false,
		"is sent so often before it is given up":   true,
		"so that many packets are sent as one":     false,
		"a port that was left away means any port": true,
	} {
		if got := turnIn(line) != ""; got != want {
			t.Errorf("turnIn(%q) found %q, want any: %v", line, turnIn(line), want)
		}
	}
}

// prose is a text for people: a comment, a string of the code, or a document.
type prose struct {
	path  string
	first int // line
	lines []string
	code  bool // a string: it has no width of its own
	turns bool // of this package: it has the turns of phrase that it forbids
}

func (p prose) wide(line string) bool {
	return !p.code && !strings.HasPrefix(line, "|") && len([]rune(strings.ReplaceAll(line, "\t", "    "))) > maxColumns
}

// comments are the comments and the strings of the Go code.
func comments(t *testing.T) []prose {
	t.Helper()
	var out []prose
	for _, f := range sources(t) {
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, f.path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		add := func(from, to token.Pos, whole, code bool) {
			a, b := fset.Position(from), fset.Position(to)
			p := prose{path: f.path, first: a.Line, lines: slices.Clone(lines[a.Line-1 : b.Line]), code: code, turns: f.dir == "internal/house"}
			if !whole { // behind code: the code has no limit
				p.lines[0] = p.lines[0][a.Column-1:]
			}
			out = append(out, p)
		}
		for _, g := range file.Comments {
			for _, c := range g.List {
				a := fset.Position(c.Pos())
				add(c.Pos(), c.End(), strings.TrimSpace(lines[a.Line-1][:a.Column-1]) == "", false)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, " ") && !f.test {
				add(l.Pos(), l.End(), false, true)
			}
			return true
		})
	}
	return out
}

// documents are the project's documents, without their blocks of code.
func documents(t *testing.T) []prose {
	t.Helper()
	var out []prose
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, prose{path: path, first: 1, lines: withoutBlocks(string(text))})
		}
	}
	return out
}

// withoutBlocks is the lines of a document; those of its blocks of code are empty.
func withoutBlocks(text string) []string {
	lines := strings.Split(text, "\n")
	block := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			block = !block
		}
		if fence || block {
			lines[i] = ""
		}
	}
	return lines
}

// quoted finds quotations in comments. A short one is a word in quotation marks.
var quoted = regexp.MustCompile(`"([^"]{20,})"`)

// aboutRFC finds what makes a quotation one of an RFC.
var aboutRFC = regexp.MustCompile(`\bRFC \d|\bSection \d`)

// quotations is the file of checked quotations: a line with the RFC and its section, a tab, and the
// text. Square brackets stand for what was left out.
func quotations(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/quotations.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		source, words, ok := strings.Cut(line, "\t")
		if !ok || !regexp.MustCompile(`^RFC \d+, Section [0-9A-Z.]+$`).MatchString(source) {
			t.Errorf("quotations.txt: %q has no source of the form RFC N, Section M", line)
		}
		out[words] = source
	}
	return out
}

// TestQuotations wants every quotation that stands in a comment about an RFC in the file of
// quotations, and every one of these in a comment.
func TestQuotations(t *testing.T) {
	known := quotations(t)
	used := make(map[string]bool)
	for _, f := range sources(t) {
		if f.dir == "internal/house" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Comments {
			text := strings.Join(strings.Fields(g.Text()), " ")
			if !aboutRFC.MatchString(text) {
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(text, -1) {
				used[m[1]] = true
				if known[m[1]] == "" {
					t.Errorf("%s: %q is not in testdata/quotations.txt", f.path, m[1])
				}
			}
		}
	}
	for words := range known {
		if !used[words] {
			t.Errorf("quotations.txt: nothing quotes %q", words)
		}
	}
}

// TestQuotationsAreVerbatim looks for the quotations in the texts of the RFCs, which are in the
// folder RFC_TEXTS as rfc7296.txt and so on. The folder is not part of the project.
func TestQuotationsAreVerbatim(t *testing.T) {
	folder := os.Getenv("RFC_TEXTS")
	if folder == "" {
		t.Skip("RFC_TEXTS does not name a folder with the texts of the RFCs")
	}
	for words, source := range quotations(t) {
		number, _, _ := strings.Cut(strings.TrimPrefix(source, "RFC "), ",")
		if _, err := strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "rfc"+number+".txt"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !contains(string(text), words) {
			t.Errorf("%s does not contain %q", source, words)
		}
	}
}

// pageBreak is the foot of a page of an RFC and the head of the next one.
var pageBreak = regexp.MustCompile(`\n[^\n]*\[Page \d+\]\n\f?\n?[^\n]*\n`)

// omission is where a quotation leaves something out, or says what a word stands for.
var omission = regexp.MustCompile(`\s*\[[^\]]*\]\s*`)

// contains reports whether a text has the parts of a quotation, one behind the other.
func contains(text, words string) bool {
	text = strings.Join(strings.Fields(pageBreak.ReplaceAllString(text, "\n")), " ")
	for _, part := range omission.Split(words, -1) {
		i := strings.Index(text, strings.TrimSuffix(part, "."))
		if i < 0 {
			return false
		}
		text = text[i+len(strings.TrimSuffix(part, ".")):]
	}
	return true
}

func TestContains(t *testing.T) {
	const text = "The first\n   part of it, and\nAuthor    Standards Track    [Page 7]\n\f\nRFC 1    Title    2020\n\n   the second."
	for words, want := range map[string]bool{
		"The first part of it":         true,
		"first [...] and the second.":  true,
		"the second [...] part":        false,
		"The first parts":              false,
		"it, and the second":           true,
		"the first part of it":         false,
		"part of [this], and the seco": true,
	} {
		if got := contains(text, words); got != want {
			t.Errorf("contains(%q) = %v, want %v", words, got, want)
		}
	}
}
