package daemon

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/internal/control"
)

func TestMetrics(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	f.status[0].Held = &ike.Hold{By: "root"}
	w := httptest.NewRecorder()
	metricsServer(d.Status, d.log).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"culvert_uptime_seconds 10\n", `culvert_peer_up{peer="a"} 1`, `culvert_peer_state{peer="a",state="established"} 1`, `culvert_child_up{child="lan",peer="a"} 1`,
		`culvert_child_sent_packets_total{child="lan",peer="a"} 4`, `culvert_child_drops_total{child="lan",peer="a",reason="icv"} 5`, `culvert_child_rekeys_total{child="lan",peer="a"} 2`,
		`culvert_events_total{event="both"} 15`, `culvert_child_narrowed{child="lan",peer="a"} 1`, `culvert_child_active{child="lan",peer="a"} 0`,
		`culvert_peer_taken_down{peer="a"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in:\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `reason="replay"`) {
		t.Errorf("a reason that there was not has a line:\n%s", w.Body)
	}
}

// A party that an operator took down is not the whole peer.
func TestMetricOfWhatIsTakenDown(t *testing.T) {
	held := &control.Hold{By: "root"}
	for name, tt := range map[string]struct {
		peers []control.Peer
		want  string
	}{
		"a peer":    {[]control.Peer{{Name: "a", TakenDown: held}}, `culvert_peer_taken_down{peer="a"} 1`},
		"an entry":  {[]control.Peer{{Name: "a", TakenDown: held, Parties: &control.Parties{}}}, `culvert_peer_taken_down{peer="a"} 1`},
		"a party":   {[]control.Peer{{Name: "a", Party: "x", TakenDown: held}, {Name: "a", Party: "y"}}, `culvert_peer_taken_down{peer="a"} 0`},
		"no longer": {[]control.Peer{{Name: "a"}}, `culvert_peer_taken_down{peer="a"} 0`},
	} {
		w := httptest.NewRecorder()
		metricsServer(func(context.Context) (*control.Status, error) { return &control.Status{Peers: tt.peers}, nil }, slog.Default()).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: no %s in:\n%s", name, tt.want, w.Body)
		}
	}
}
