package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// parsed returns a page as Prometheus' own parser reads it.
func parsed(t *testing.T, page string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, page)
	}
	return got
}

// everything returns a daemon that has something of every metric.
func everything(t *testing.T) *Daemon {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "5")+officeText()+manualText("2001:db8::9", "01"), nil)
	g := withGuard(d, f)
	writeConfig(t, d, peerText("a", "192.0.2.2", "3")+peerText("b", "192.0.2.3", "5")+officeText()+manualText("2001:db8::9", "01"))
	reload(t, d)
	established(t, f)
	f.status = append(f.status, ike.PeerStatus{Name: "b", Held: &ike.Hold{}, Children: []ike.ChildStatus{{Name: "lan"}}}, partyStatus("alice@example.com", 71), partyStatus("bob@example.com", 72))
	f.stats[71] = dataplane.ChildStats{PacketsIn: 1 << 60, MTU: 1400, Drops: map[string]uint64{"icv": 2, "replay": 1}}
	f.stats[72] = dataplane.ChildStats{PacketsIn: 7, MTU: 1300, Drops: map[string]uint64{"icv": 1}}
	g.drops = map[protect.ID]guard.Drops{protect.ID(f.named("a", "lan")): {Out: 7, In: 9}}
	d.health.look([]control.Peer{{Name: "a", Verdicts: []control.Verdict{{Code: "no-answer", Level: "bad"}, {Code: "narrowed", Level: "note", Child: "lan"}}}})
	d.cfg.Certificates = expiring(t, 20, 400).Certificates
	return d
}

// The page is one that Prometheus' parser reads, with every metric, its type and its description;
// the values of each stand together, and no two have the same labels.
func TestPageIsPrometheus(t *testing.T) {
	page := scrapeOf(everything(t)).Body.String()
	got := parsed(t, page)
	for _, m := range metrics {
		f := got["culvert_"+m.name]
		if f == nil {
			t.Errorf("no %s in:\n%s", m.name, page)
			continue
		}
		if f.GetHelp() != m.help || strings.ToLower(f.GetType().String()) != m.kind {
			t.Errorf("%s is %v", m.name, f)
		}
	}
	if len(got) != len(metrics) {
		t.Errorf("%d metrics, want %d", len(got), len(metrics))
	}
	var name string
	ended, series := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		id := line[:strings.LastIndexByte(line, ' ')]
		of, _, _ := strings.Cut(id, "{")
		if of != name {
			if ended[of] {
				t.Errorf("the values of %s stand apart", of)
			}
			name, ended[of] = of, true
		}
		if series[id] {
			t.Errorf("%s is there twice", id)
		}
		series[id] = true
	}
}

// What has no value has no line, and no description either.
func TestMetricsWithoutValues(t *testing.T) {
	d, f, _ := testDaemon(t, "", nil)
	f.status = nil
	page := scrapeOf(d).Body.String()
	if parsed(t, page); strings.Contains(page, "child") || strings.Contains(page, "peer") || !strings.Contains(page, "culvert_guard_up 0\n") {
		t.Errorf("got\n%s", page)
	}
}

// short is a writer that fails.
type short struct{ writes int }

func (s *short) Write([]byte) (int, error) {
	s.writes++
	return 0, errors.New("gone")
}

// Whoever ends a scrape early is written to no more, and a large page is written in pieces.
func TestPageInPieces(t *testing.T) {
	d, _ := newCrowd(t, 2000)
	s, err := d.sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var gone short
	if err := s.write(&gone); err == nil || gone.writes != 1 {
		t.Errorf("%v after %d writes", err, gone.writes)
	}
	var whole pieces
	if err := s.write(&whole); err != nil || whole.largest > scrapeBuffer+maxScrapeLine || whole.Len() < 10*whole.largest {
		t.Errorf("%v; %d octets, %d at most at a time", err, whole.Len(), whole.largest)
	}
	got := parsed(t, whole.String())
	for _, name := range []string{"child_up", "child_sent_packets_total", "peer_up"} {
		if n := len(got["culvert_"+name].GetMetric()); n != 2000 {
			t.Errorf("%d values of %s", n, name)
		}
	}
	last := fmt.Sprintf(`culvert_child_sent_packets_total{child="lan",peer="peer-%06d"} 2`, 1999)
	if !strings.Contains(whole.String(), last+"\n") {
		t.Errorf("no %s", last)
	}
}

// pieces is a writer that notes the largest write.
type pieces struct {
	bytes.Buffer
	largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.Buffer.Write(b)
}
