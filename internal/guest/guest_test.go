package guest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVirtualizes(t *testing.T) {
	for cpuinfo, want := range map[string]bool{
		"flags\t\t: fpu vmx sse\n":                  true,
		"processor\t: 0\nflags\t\t: fpu sse svm\n":  true,
		"flags\t\t: fpu svm_lock sse\nbugs : vmx\n": false,
		"flags\t\t: fpu sse hypervisor\n":           false,
		"":                                          false,
	} {
		if got := virtualizes(cpuinfo); got != want {
			t.Errorf("%q: %v, want %v", cpuinfo, got, want)
		}
	}
}

// The processor's help brings two processors; without it there is one, whose clock counts
// instructions.
func TestArguments(t *testing.T) {
	m := Machine{Kernel: Kernel{Image: "/k/vmlinuz"}}
	for _, tt := range []struct {
		hardware  bool
		has, lack string
	}{
		{true, "-accel kvm -cpu host -smp 2 -m 3072", "-icount"},
		{false, "-accel tcg -cpu max -smp 1 -icount shift=1,sleep=off -rtc clock=vm -m 3072", "kvm"},
	} {
		got := strings.Join(m.arguments("/d", tt.hardware), " ")
		if !strings.HasPrefix(got, tt.has) || strings.Contains(got, tt.lack) {
			t.Errorf("got %s, want %s and not %s", got, tt.has, tt.lack)
		}
		if !strings.Contains(got, "-kernel /k/vmlinuz -initrd /d/initrd ") || !strings.HasSuffix(got, "-serial file:/d/console -serial stdio -serial file:/d/status") {
			t.Errorf("got %s", got)
		}
	}
	m.CPUs, m.Memory = 1, 512
	if got := m.arguments("/d", true); !slices.Contains(got, "512") || slices.Contains(got, "3072") || got[slices.Index(got, "-smp")+1] != "1" {
		t.Errorf("got %v", got)
	}
}

func TestEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	if got := end(path); got != "" {
		t.Errorf("of a file that is missing: %q", got)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("old\r\n", 40)+"one\r\ntwo\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := end(path); strings.Count(got, "    old\n") != 28 || !strings.HasSuffix(got, "\n    one\n    two\n") {
		t.Errorf("got %q", got)
	}
}
