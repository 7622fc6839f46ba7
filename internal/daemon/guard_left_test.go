package daemon

import (
	"strings"
	"testing"

	"culvert/internal/config"
)

// A warning names each guard that this daemon does not take over, and the command to remove it.
func TestLeftGuards(t *testing.T) {
	standing := []string{"left", "mine", "other"}
	exists := func(device string) bool { return device != "left" }
	for _, tt := range []struct {
		mode config.Guard
		want []string
	}{
		{config.GuardAuto, []string{"culvert release --tun left`"}},
		{config.GuardOff, []string{"culvert release --tun left`", "culvert release --tun mine --force`"}},
	} {
		got := leftGuards(&config.Daemon{TUN: "mine", Guard: tt.mode}, standing, exists)
		if len(got) != len(tt.want) {
			t.Fatalf("%v: got %q", tt.mode, got)
		}
		for i, want := range tt.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%v: got %q, want it to name %s", tt.mode, got[i], want)
			}
		}
	}
}
