package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A Record is what came of a cell.
type Record struct {
	Cell    string `json:"cell"`    // its Name
	Version string `json:"version"` // of the peer
	Passed  bool   `json:"passed"`
	Seconds int    `json:"seconds"`
	// Sent and Lost are packets of both directions; ChildSAs and IKESAs are how many followed the
	// first ones.
	Sent     uint64 `json:"sent"`
	Lost     uint64 `json:"lost"`
	ChildSAs int    `json:"child_sas"`
	IKESAs   int    `json:"ike_sas"`
	Note     string `json:"note,omitempty"` // what else was checked, or why it failed
	Build    string `json:"build,omitempty"`
}

// Mark begins a line with a Record in the output of a test.
const Mark = "interop-record "

// Line returns the record as a line of output.
func (r Record) Line() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("interop: internal error: %v", err)) // it has plain fields only
	}
	return Mark + string(text)
}

// ParseLine returns the record in a line of output, if there is one. Something may be in front of
// it, as a test's output that has no end of line.
func ParseLine(line string) (Record, bool) {
	_, text, found := strings.Cut(strings.TrimRight(line, "\r\n"), Mark)
	var r Record
	if !found || json.Unmarshal([]byte(text), &r) != nil || r.Cell == "" {
		return Record{}, false
	}
	return r, true
}

// Records are the newest of each cell, by its name.
type Records map[string]Record

// Read adds the records among the lines of a text; a later one of a cell replaces an earlier one.
func (r Records) Read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if one, ok := ParseLine(lines.Text()); ok {
			r[one.Cell] = one
		}
	}
	return lines.Err()
}
