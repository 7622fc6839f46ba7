package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"culvert/internal/config"
)

// The last log line.
func TestLeave(t *testing.T) {
	for _, tt := range []struct {
		name  string
		guard *guardPart
		want  string
	}{
		{"it stands", &guardPart{g: &fakeGuard{}}, "the guard stays: protected traffic is held back until culvert runs again; `culvert release --tun cv9` opens it"},
		{"none", &guardPart{reason: "no nftables"}, "the routes that make protected networks unreachable stay: "},
		{"off", &guardPart{mode: config.GuardOff}, "the routes that make protected networks unreachable stay: "},
		{"ended before it stood", &guardPart{}, ""},
	} {
		var log bytes.Buffer
		p := &parts{log: slog.New(slog.NewTextHandler(&log, nil)), guard: tt.guard}
		if err := p.leave("cv9", false); err != nil {
			t.Error(err)
		}
		if got := log.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if g, ok := tt.guard.g.(*fakeGuard); ok && !g.closed {
			t.Errorf("%s: it is watched on", tt.name)
		}
	}
}
