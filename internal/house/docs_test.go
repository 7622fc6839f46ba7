package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reference is a test as docs/hostile-inputs.md names it: folder, function, and perhaps one of its cases.
var reference = regexp.MustCompile("`([a-z0-9/]+)` ((?:Test|Fuzz)[A-Za-z0-9]+)(?: \"([^\"]+)\")?")

// TestHostileInputsHaveTheirTests looks for every test and case that docs/hostile-inputs.md names, and for a test in every row.
func TestHostileInputsHaveTheirTests(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/hostile-inputs.md"))
	if err != nil {
		t.Fatal(err)
	}
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
	rows := 0
	for line := range strings.Lines(string(doc)) {
		found := reference.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") == 5 && !strings.HasPrefix(line, "| #") && !strings.HasPrefix(line, "| ---") {
			rows++
			if len(found) == 0 {
				t.Errorf("no test in the row %s", line)
			}
		}
		for _, m := range found {
			folder, function, row := m[1], m[2], m[3]
			if !strings.Contains(folders[folder], "\nfunc "+function+"(") {
				t.Errorf("%s has no %s", folder, function)
			}
			if row != "" && !strings.Contains(folders[folder], `"`+row+`"`) {
				t.Errorf("%s %s has no case %q", folder, function, row)
			}
		}
	}
	if rows < 36 {
		t.Errorf("%d rows were found: is the table what it was?", rows)
	}
}

// TestLinksLeadSomewhere looks for the target of each relative link in the documents.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md")) {
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
