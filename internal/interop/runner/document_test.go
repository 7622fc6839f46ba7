package runner

import (
	"os"
	"strings"
	"testing"

	"culvert/internal/interop"
)

// docs/interop.md names every cell, in the present text, and all have passed; those in guests may
// not have run. Whoever changes the cells runs `make interop`.
func TestDocumentIsPresent(t *testing.T) {
	text, err := os.ReadFile("../../../docs/interop.md")
	if err != nil {
		t.Fatal(err)
	}
	documentHas(t, string(text), head)
	for _, p := range interop.Peers {
		_, part, _ := strings.Cut(string(text), "\n## "+p.Name+"\n")
		part, _, _ = strings.Cut(part, "\n## ")
		for _, l := range p.Limits {
			documentHas(t, part, "- "+l.What+": "+l.Why+"\n")
		}
		for _, c := range p.Cells() {
			if p.Where != interop.Guest || !strings.Contains(part, "\n| "+c.Short()+" | not run |  |\n") {
				documentHas(t, part, "\n| "+c.Short()+" | passed | ")
			}
		}
	}
}

func documentHas(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("docs/interop.md lacks %q: run make interop", part)
	}
}

func TestDocument(t *testing.T) {
	first := interop.Peers[0].Cells()[0]
	text := document(interop.Records{first.Name(): {Cell: first.Name(), Version: "v1", Passed: true, Sent: 9, Note: "a|b"}})
	for _, want := range []string{
		".\n\n    v1\n\nNot run:\n", "\n| " + first.Short() + " | passed | 9 packets, 0 lost; a/b |\n",
		"\n| " + interop.Peers[0].Cells()[1].Short() + " | not run |  |\n", "\n- " + interop.Peers[0].Limits[0].What + ": ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}
