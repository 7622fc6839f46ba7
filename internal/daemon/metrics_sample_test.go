package daemon

import (
	"strings"
	"testing"

	"culvert/ike"
)

// A party that an operator took down is not the whole peer.
func TestMetricOfWhatIsTakenDown(t *testing.T) {
	held := &ike.Hold{By: "root"}
	for name, tt := range map[string]struct {
		peers []ike.PeerStatus
		want  string
	}{
		"a peer":    {[]ike.PeerStatus{{Name: "a", Held: held}}, `culvert_peer_taken_down{peer="a"} 1`},
		"an entry":  {[]ike.PeerStatus{{Name: "a", Held: held, Parties: ike.PartyCount{Max: 9}}}, `culvert_peer_taken_down{peer="a"} 1`},
		"a party":   {[]ike.PeerStatus{{Name: "a", Party: "x", Held: held}, {Name: "a", Party: "y"}}, `culvert_peer_taken_down{peer="a"} 0`},
		"no longer": {[]ike.PeerStatus{{Name: "a"}}, `culvert_peer_taken_down{peer="a"} 0`},
	} {
		d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
		f.status = tt.peers
		if page := scrapeOf(d).Body.String(); !strings.Contains(page, tt.want+"\n") {
			t.Errorf("%s: no %s in:\n%s", name, tt.want, page)
		}
	}
}

// Manual children and a peer that the engine does not have yet are in the metrics.
func TestMetricsWithoutEngine(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("2001:db8::9", "01"), nil)
	f.status = nil
	page := scrapeOf(d).Body.String()
	for _, want := range []string{
		`culvert_peer_state{peer="a",state="down"} 1`, `culvert_peer_up{peer="a"} 0`, `culvert_child_up{child="lan",peer="a"} 0`,
		`culvert_peer_state{peer="bench",state="manual"} 1`, `culvert_peer_up{peer="bench"} 1`, `culvert_child_mtu_bytes{child="man",peer="bench"} 1446`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("no %s in:\n%s", want, page)
		}
	}
}

// Between the parts of a sample a reload may change the peers. Each that was configured when it
// began counts once, and others not at all.
func TestSampleAcrossReload(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "5")+peerText("c", "192.0.2.4", "6"), nil)
	established(t, f)
	s := newSample(d.config())
	peer := func(name string, place uint64, children ...string) {
		g := ike.Gauges{Peers: []ike.PeerGauges{{Name: name, Place: place, State: ike.PeerEstablished, Children: len(children)}}}
		for _, c := range children {
			g.Children = append(g.Children, ike.ChildGauges{Name: c, Policy: f.named("a", "lan"), Up: true, Rekeys: 2})
		}
		s.add(&g, d.plane, nil)
	}
	peer("c", 3, "new", "lan")
	peer("a", 1, "lan")
	peer("nobody", 4, "lan")
	peer("a", 5, "lan")
	var page strings.Builder
	if err := s.write(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`culvert_child_rekeys_total{child="lan",peer="a"} 2`, `culvert_child_rekeys_total{child="lan",peer="b"} 0`, `culvert_child_rekeys_total{child="lan",peer="c"} 2`,
		`culvert_child_sent_packets_total{child="lan",peer="a"} 4`, `culvert_peer_up{peer="a"} 1`, `culvert_peer_up{peer="b"} 0`, `culvert_peer_up{peer="c"} 1`,
	} {
		if !strings.Contains(page.String(), want+"\n") {
			t.Errorf("no %s in:\n%s", want, page.String())
		}
	}
	if strings.Contains(page.String(), "nobody") || strings.Contains(page.String(), "new") {
		t.Errorf("what is not configured is in:\n%s", page.String())
	}
}

func TestIndexFrom(t *testing.T) {
	list := []string{"a", "b", "c"}
	for _, tt := range []struct {
		want string
		from int
		at   int
	}{{"a", 0, 0}, {"c", 1, 2}, {"a", 2, 0}, {"c", 3, 2}, {"d", 1, -1}} {
		if got := indexFrom(list, tt.want, tt.from); got != tt.at {
			t.Errorf("%s from %d: %d, want %d", tt.want, tt.from, got, tt.at)
		}
	}
}
