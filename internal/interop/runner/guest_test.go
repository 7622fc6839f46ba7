package runner

import (
	"strings"
	"testing"

	"culvert/internal/interop"
)

func TestInGuest(t *testing.T) {
	for name, want := range map[string]bool{
		"usr": true, "usr/libexec/ipsec/pluto": true, "usr/lib/x86_64-linux-gnu/libc.so.6": true, "etc/iked/ca": true, "tmp": true,
		"usr/share": false, "usr/lib/x86_64-linux-gnu/gconv": false, "tmp/swan-1": false, "var": false,
	} {
		if got := inGuest(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestScript(t *testing.T) {
	got := script(job{cells: []interop.Cell{{Peer: "x", Algorithm: "ESP a"}, {Peer: "x", Algorithm: "ESP b"}}})
	for _, want := range []string{"\nexport CULVERT_BIN='/tests/culvert'\n", "\nexport CULVERT_INTEROP_ROOT='/peers'\n",
		"\nexport CULVERT_INTEROP_CELLS='x: ESP a\nx: ESP b'\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if !strings.HasSuffix(got, "\n/tests/e2e.test -test.run ^TestInterop$ -test.v -test.timeout 0\n") {
		t.Errorf("it ends otherwise:\n%s", got)
	}
	for _, p := range interop.Peers {
		if strings.Count(script(job{cells: p.Cells()}), "'") != 2*4 {
			t.Errorf("a name of %s has a quotation mark", p.Name)
		}
	}
}
