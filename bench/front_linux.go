package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Main is what both front ends do: run, tell the progress on progress, write the results to out and to the files that the settings name. What an interrupted run
// has measured until then is written, too; the error is the context's. Failed measurements make an error, after all is written.
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

// Save writes the JSON and the plot to files; an empty name is none.
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
