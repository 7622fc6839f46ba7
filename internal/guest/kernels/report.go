package kernels

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// report writes what the suites came to in a kernel, and reports whether all passed: the failed
// tests with their output, the skipped ones with their reasons, and the numbers.
func report(w io.Writer, kernel string, wanted []suite, outcomes []*outcome) bool {
	good := true
	fmt.Fprintf(w, "\n== %s\n", kernel)
	for _, s := range wanted {
		i := slices.IndexFunc(outcomes, func(o *outcome) bool { return o.pkg == s.pkg })
		if i < 0 {
			good = false
			fmt.Fprintf(w, "%-28s not run\n", s.pkg)
			continue
		}
		o := outcomes[i]
		good = good && !o.failed() && len(o.results) > 0
		fmt.Fprintf(w, "%-28s %3d passed, %d failed, %d skipped%s\n", o.pkg, o.count("PASS"), o.count("FAIL"), o.count("SKIP"), o.remark())
		for _, r := range o.leaves("SKIP") {
			fmt.Fprintf(w, "    skipped %s: %s\n", r.name, r.reason())
		}
		for _, r := range o.leaves("FAIL") {
			fmt.Fprintf(w, "    FAILED %s\n%s", r.name, indent(r.output))
		}
		if o.failed() {
			for _, name := range slices.Sorted(maps.Keys(o.output)) {
				fmt.Fprintf(w, "    without a result: %s\n%s", name, indent(o.output[name]))
			}
		}
	}
	return good
}

// remark is what the numbers of an outcome do not tell.
func (o *outcome) remark() string {
	switch {
	case o.status < 0:
		return ", and then the guest ended"
	case o.status > 0:
		return fmt.Sprintf(", exit status %d", o.status)
	case len(o.results) == 0:
		return ": there was no test"
	}
	return ""
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "        " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n        ") + "\n"
}
