package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Main runs the measurements for both front ends. It writes the results to out and to the files
// that the settings name, and reports progress on progress. After an interrupt it writes the
// results so far and returns the context's error. If measurements failed, it returns an error after
// writing.
func Main(ctx context.Context, s Settings, candidates []Subject, out, progress io.Writer) error {
	doc, err := Run(ctx, s, candidates, progress)
	if doc == nil || len(doc.Measurements) == 0 && ctx.Err() != nil {
		return err
	}
	fmt.Fprintln(progress)
	err = errors.Join(err, doc.Text(out), doc.Save(s.JSON, s.SVG))
	if n := len(doc.Failures); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed", n))
	}
	return err
}

// Save writes the JSON and the plot to files. It skips a file whose name is empty.
func (d *Document) Save(json, svg string) error {
	var errs []error
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{json, d.Encode}, {svg, d.Plot}} {
		if f.name != "" {
			errs = append(errs, writeFile(f.name, f.write))
		}
	}
	return errors.Join(errs...)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
