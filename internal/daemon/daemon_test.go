package daemon

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"culvert/internal/config"
)

// The log has the configured format, and its level can change while the daemon runs.
func TestLog(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		level := new(slog.LevelVar)
		log := newLogger(&out, &config.Daemon{JSONLog: asJSON, Log: slog.LevelWarn}, level)
		log.Info("quiet")
		log.Warn("loud", "event", "test")
		if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], "loud") {
			t.Errorf("JSON %v: at level warn the log is %q", asJSON, out.String())
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(out.String()), &fields); (err == nil) != asJSON || asJSON && (fields["msg"] != "loud" || fields["event"] != "test") {
			t.Errorf("JSON %v: the line is %q", asJSON, out.String())
		}
		level.Set(slog.LevelDebug)
		if log.Debug("all"); !strings.Contains(out.String(), "all") {
			t.Errorf("JSON %v: after a change of the level the log is %q", asJSON, out.String())
		}
	}
}

// The configuration in force is the one that was applied last, and not one that was refused.
func TestConfigInForce(t *testing.T) {
	d, _, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	d.opts.Version = "7.1"
	if d.Version() != "7.1" {
		t.Errorf("the version is %q", d.Version())
	}
	for _, step := range []struct {
		doc  string
		want string
	}{{peerText("b", "192.0.2.3", "3"), "b"}, {"nonsense", "b"}, {peerText("a", "192.0.2.2", "2"), "a"}} {
		writeConfig(t, d, step.doc)
		_, _ = d.Reload(t.Context(), forced)
		if got := d.config().Peers; len(got) != 1 || got[0].Name != step.want {
			t.Errorf("the peers are %+v, want %s", got, step.want)
		}
	}
}
