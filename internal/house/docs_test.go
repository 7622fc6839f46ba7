package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reference is a test as the documents name it: folder, function, and perhaps one of its cases.
var reference = regexp.MustCompile("`([a-z0-9/]+)` ((?:Test|Fuzz)[A-Za-z0-9]+)(?: \"([^\"]+)\")?")

// TestDocumentsHaveTheirTests looks for every test and case that the documents name, and for a test
// in every row of their tables.
func TestDocumentsHaveTheirTests(t *testing.T) {
	folders := map[string]string{}
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		folders[f.dir] += string(text)
	}
	for _, doc := range []struct {
		path          string
		columns, rows int // of the tables that have tests; the least number of rows
	}{{"docs/hostile-inputs.md", 4, 36}, {"docs/lives.md", 4, 27}, {"docs/security.md", 3, 20}} {
		text, err := os.ReadFile(filepath.Join(root, doc.path))
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for line := range strings.Lines(string(text)) {
			named := wantTests(t, folders, line)
			if isRow(line, doc.columns) {
				rows++
				if named == 0 {
					t.Errorf("%s: no test in the row %s", doc.path, line)
				}
			}
		}
		if rows < doc.rows {
			t.Errorf("%s: %d rows were found: are the tables what they were?", doc.path, rows)
		}
	}
}

// isRow reports whether a line is a row of a table of so many columns, and not its head.
func isRow(line string, columns int) bool {
	return strings.HasPrefix(line, "| ") && strings.Count(line, "|") == columns+1 && !strings.HasSuffix(strings.TrimSpace(line), "| tests |") && !strings.HasPrefix(line, "| ---")
}

// wantTests wants the tests that a line names, and returns how many these are. folders are the
// tests' texts.
func wantTests(t *testing.T, folders map[string]string, line string) int {
	t.Helper()
	found := reference.FindAllStringSubmatch(line, -1)
	for _, m := range found {
		folder, function, row := m[1], m[2], m[3]
		if !strings.Contains(folders[folder], "\nfunc "+function+"(") {
			t.Errorf("%s has no %s", folder, function)
		}
		if row != "" && !strings.Contains(folders[folder], `"`+row+`"`) {
			t.Errorf("%s %s has no case %q", folder, function, row)
		}
	}
	return len(found)
}

// TestLinksLeadSomewhere looks for the target of each relative link in the documents.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	atRoot, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil || len(atRoot) == 0 {
		t.Fatal(atRoot, err)
	}
	for _, file := range append(files, atRoot...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
			}
		}
	}
}
