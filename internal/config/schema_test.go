package config

import (
	"os"
	"strings"
	"testing"
)

// TestReferenceHasEveryKey compares keys and defaults of docs/configuration.md with the schema, in
// both directions.
func TestReferenceHasEveryKey(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for heading, keys := range map[string][]key{
		"## `[daemon]`": daemonKeys, "## `[[peer]]`": peerKeys, "## `[[peer.child]]`": childKeys, "### `lifetime`": lifetimeKeys, "### `retransmit`": retransmitKeys, "### `retry`": retryKeys, "### `manual`": manualKeys,
	} {
		documented := tableUnder(t, string(doc), heading)
		for _, k := range keys {
			def, ok := documented[k.name]
			if !ok {
				t.Errorf("%s: %s is not documented", heading, k.name)
			}
			if k.def != "" && def != "`"+k.def+"`" {
				t.Errorf("%s: %s: documented default %s, want `%s`", heading, k.name, def, k.def)
			}
			delete(documented, k.name)
		}
		for name := range documented {
			t.Errorf("%s: %s is documented and does not exist", heading, name)
		}
	}
}

// tableUnder reads the keys and defaults of the first table after a heading.
func tableUnder(t *testing.T, doc, heading string) map[string]string {
	t.Helper()
	_, after, ok := strings.Cut(doc, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no heading %s", heading)
	}
	rows := map[string]string{}
	for line := range strings.SplitSeq(after, "\n") {
		if strings.HasPrefix(line, "#") {
			break
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		rows[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
	}
	return rows
}
