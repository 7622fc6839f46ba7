package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// SchemaVersion is the version of Document. It grows when the name or meaning of a field changes,
// and stays when fields are added.
const SchemaVersion = 1

// A Document holds the results of a run. Its JSON is described in docs/benchmark.md.
type Document struct {
	Schema       int           `json:"schema"`
	Date         time.Time     `json:"date"`
	Machine      Machine       `json:"machine"`
	Rounds       int           `json:"rounds"`
	Seconds      float64       `json:"seconds"`          // the length of a measurement
	Layout       string        `json:"layout,omitempty"` // of hosts and links, in words
	Interrupted  bool          `json:"interrupted,omitempty"`
	Subjects     []Present     `json:"subjects"`
	Absent       []Absent      `json:"absent,omitempty"`
	Failures     []Failure     `json:"failures,omitempty"`
	Measurements []Measurement `json:"measurements"`
	Summaries    []Summary     `json:"summaries"`
}

// A Machine describes the hardware and system of a run.
type Machine struct {
	CPU       string   `json:"cpu"`
	Flags     []string `json:"cpu_flags"` // those relevant to the ciphers
	Cores     int      `json:"cores"`
	MemoryMiB int64    `json:"memory_mib"`
	Kernel    string   `json:"kernel"`
	Arch      string   `json:"arch"`
	Go        string   `json:"go"`
}

// A Present is a subject that was measured.
type Present struct {
	Subject string `json:"subject"`
	Version string `json:"version"`
}

// An Absent is a subject that could not be measured.
type Absent struct {
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
}

// A Failure is a failed measurement. Test is empty if the subject did not start.
type Failure struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	Test    string `json:"test,omitempty"`
	Error   string `json:"error"`
}

// Encode writes the document as JSON.
func (d *Document) Encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(d)
}

// Decode reads the JSON of Encode. It returns an error if the schema is another one.
func Decode(r io.Reader) (*Document, error) {
	d := new(Document)
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, fmt.Errorf("benchmark results: %w", err)
	}
	if d.Schema != SchemaVersion {
		return nil, fmt.Errorf("benchmark results of schema %d: this program reads %d", d.Schema, SchemaVersion)
	}
	return d, nil
}

// Text writes the machine, the subjects, the tables and the failures for people to read.
func (d *Document) Text(w io.Writer) error {
	m := d.Machine
	_, err := fmt.Fprintf(w, "%s (%s), %d cores, %d MiB, %s, Linux %s, %s; %s\n", m.CPU, strings.Join(m.Flags, " "), m.Cores, m.MemoryMiB, m.Arch, m.Kernel, m.Go, d.Date.Format(time.DateOnly))
	for _, s := range d.Subjects {
		_, e := fmt.Fprintf(w, "- %s: %s\n", s.Subject, s.Version)
		err = errors.Join(err, e)
	}
	for _, a := range d.Absent {
		_, e := fmt.Fprintf(w, "- %s: not measured: %s\n", a.Subject, a.Reason)
		err = errors.Join(err, e)
	}
	most := ""
	if d.Interrupted {
		most = "at most (the run was interrupted) "
	}
	if d.Layout != "" {
		_, e := fmt.Fprintf(w, "- between them: %s\n", d.Layout)
		err = errors.Join(err, e)
	}
	_, e := fmt.Fprintf(w, "\nMedians of %s%d interleaved rounds of %g s for each measurement, and their spread; ratios are taken round by round.\n\n", most, d.Rounds, d.Seconds)
	err = errors.Join(err, e, Tables(w, d.Summaries))
	for _, f := range d.Failures {
		_, e := fmt.Fprintf(w, "FAILED: %s, round %d %s: %s\n", f.Subject, f.Round+1, f.Test, f.Error)
		err = errors.Join(err, e)
	}
	return err
}
