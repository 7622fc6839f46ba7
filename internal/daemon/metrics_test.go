package daemon

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	w := httptest.NewRecorder()
	metricsServer(d.Status, d.log).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"culvert_uptime_seconds 10\n", `culvert_peer_up{peer="a"} 1`, `culvert_peer_state{peer="a",state="established"} 1`, `culvert_child_up{child="lan",peer="a"} 1`,
		`culvert_child_sent_packets_total{child="lan",peer="a"} 4`, `culvert_child_drops_total{child="lan",peer="a",reason="icv"} 5`, `culvert_child_rekeys_total{child="lan",peer="a"} 2`,
		`culvert_events_total{event="both"} 15`, `culvert_child_narrowed{child="lan",peer="a"} 1`, `culvert_child_active{child="lan",peer="a"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in:\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `reason="replay"`) {
		t.Errorf("a reason that there was not has a line:\n%s", w.Body)
	}
}
