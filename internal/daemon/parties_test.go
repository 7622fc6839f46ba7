package daemon

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/internal/ipsec"
)

// officeText is a peer with many parties.
func officeText() string {
	text := strings.Replace(peerText("office", "192.0.2.9", "9"), "remote = \"192.0.2.9\"\n", "", 1)
	return strings.Replace(text, "remote_id = \"office\"", "remote_id = \"*@example.com\"", 1)
}

// partyStatus is the status of a party of the office.
func partyStatus(party string, policy ipsec.PolicyID) ike.PeerStatus {
	return ike.PeerStatus{
		Name: "office", Party: party, State: ike.PeerEstablished, SPIi: 1, SPIr: 2, Established: epoch,
		Children: []ike.ChildStatus{{Name: "lan", Policy: policy, State: ike.ChildInstalled, SPIIn: 1000, SPIOut: 1001}},
	}
}

// The networks of a peer with many parties are protected from the start, without any SA.
func TestPeerOfManyIsProtected(t *testing.T) {
	d, f, _ := testDaemon(t, officeText(), nil)
	if len(f.peers) != 1 || !f.peers[0].Parties || len(f.policies) != 1 || !f.policies[0].Fallback {
		t.Fatalf("got peers %+v, policies %+v", f.peers, f.policies)
	}
	if got := f.remotes(); len(got) != 1 || got[0] != "10.9.0.0/16 from [10.1.0.0/16]" {
		t.Errorf("got routes %q", got)
	}
	f.status = []ike.PeerStatus{{Name: "office", State: ike.PeerDown}}
	st, err := d.Status(context.Background())
	if err != nil || len(st.Peers) != 1 || st.Peers[0].Party != "" || st.Peers[0].State != "down" {
		t.Errorf("got %+v, %v", st, err)
	}
}

// Each party has its own entry in the status, with its own counters.
func TestStatusOfParties(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+officeText(), nil)
	f.status = []ike.PeerStatus{{Name: "a"}, partyStatus("alice@example.com", 71), partyStatus("bob@example.com", 72)}
	f.stats[71] = dataplane.ChildStats{BytesIn: 5, MTU: 1400, Drops: map[string]uint64{"icv": 2}}
	f.stats[72] = dataplane.ChildStats{BytesIn: 7, MTU: 1300, Drops: map[string]uint64{"icv": 1}}
	for i := range f.status[1:] { // as the engine has it
		f.status[1+i].Parties = ike.PartyCount{Connected: 2, Max: 100, Refused: 7}
	}
	st, err := d.Status(context.Background())
	if err == nil && (st.Peers[0].Parties != nil || *st.Peers[2].Parties != (control.Parties{Connected: 2, Max: 100, Refused: 7})) {
		t.Errorf("got parties %+v and %+v", st.Peers[0].Parties, st.Peers[2].Parties)
	}
	if err != nil || len(st.Peers) != 3 {
		t.Fatalf("got %+v, %v", st, err)
	}
	for i, want := range []string{"a", "office#alice@example.com", "office#bob@example.com"} {
		if got := st.Peers[i].Address(); got != want {
			t.Errorf("peer %d is %q, want %q", i, got, want)
		}
	}
	if st.Peers[1].Children[0].BytesIn != 5 || st.Peers[2].Children[0].BytesIn != 7 {
		t.Errorf("the parties' counters are %+v", st.Peers)
	}
	for name, want := range map[string]string{
		"a": "a", "office": "office#alice@example.com office#bob@example.com", "office#bob@example.com": "office#bob@example.com",
	} {
		st, err := d.StatusOf(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range st.Peers {
			got = append(got, st.Peers[i].Address())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("status of %s: %v, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"office#carol": `peer "office" has no party "carol" that is connected: "culvert status office" shows the 2 that are`,
		"a#alice":      `there is no peer "a#alice": configured are a, office`,
		"nobody":       `there is no peer "nobody": configured are a, office`,
	} {
		if _, err := d.StatusOf(context.Background(), name); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	w := httptest.NewRecorder()
	metricsServer(d.sample, d.log).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Body)
	for _, line := range []string{
		`culvert_peer_up{peer="office"} 1`, `culvert_peer_parties{peer="office"} 2`, `culvert_child_received_bytes_total{child="lan",peer="office"} 12`,
		`culvert_child_mtu_bytes{child="lan",peer="office"} 1400`, `culvert_child_drops_total{child="lan",peer="office",reason="icv"} 3`, `culvert_peer_up{peer="a"} 0`,
	} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(string(body), "alice") {
		t.Error("a party has metrics of its own: their number has no bound")
	}
}

// Commands address a party by peer#party.
func TestActOnAParty(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+officeText(), nil)
	var got ike.Input
	f.do = func(in ike.Input) error { got = in; return nil }
	if _, err := d.Act(context.Background(), control.Down, control.Target{Peer: "office#alice@example.com", Child: "lan"}); err != nil {
		t.Error(err)
	}
	if got != (ike.Disconnect{Peer: "office#alice@example.com", Child: "lan"}) {
		t.Errorf("the engine got %+v", got)
	}
	for _, name := range []string{"a#alice", "nobody#alice"} {
		if _, err := d.Act(context.Background(), control.Down, control.Target{Peer: name}); err == nil {
			t.Errorf("%s is taken for a party", name)
		}
	}
}
