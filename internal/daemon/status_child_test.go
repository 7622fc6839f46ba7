package daemon

import (
	"context"
	"reflect"
	"testing"
	"time"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/internal/ipsec"
)

// TestCountsOutliveSAs: the traffic of a child is reported while the child is down.
func TestCountsOutliveSAs(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	f.status[0].Children[0] = ike.ChildStatus{Name: "lan", State: ike.ChildWaiting, Reason: "waits for traffic", Rekeys: 2}
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if c := st.Peers[0].Children[0]; c.State != "waiting" || c.SPIIn != "" || c.MTU != 0 || c.PacketsIn != 3 || c.PacketsOut != 4 || c.Drops["icv"] != 5 || *c.LastIn != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestStatusOfWorkers(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	c := &f.status[0].Children[0]
	c.Resources = []ike.ResourceStatus{
		{Resource: 2, State: ike.ChildRekeying, ID: 9, SPIIn: 0xc0ffee03, SPIOut: 0xdeadbee0, RekeyAt: d.now().Add(time.Minute)},
		{Resource: 1, State: ike.ChildNegotiating},
	}
	f.pairs = map[ipsec.ChildID]dataplane.ChildStats{9: {PacketsIn: 1, BytesIn: 2, PacketsOut: 3, BytesOut: 4, SourcePort: 40123, SourceWhy: "why", LastOut: d.now().Add(-time.Second)}}
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := st.Peers[0].Children[0].WorkerSAs
	want := []control.WorkerSA{
		{Worker: 1, State: "rekeying", SPIIn: "c0ffee03", SPIOut: "deadbee0", PacketsIn: 1, BytesIn: 2, PacketsOut: 3, BytesOut: 4, SourcePort: 40123, SourceWhy: "why", LastOut: ptr(1), RekeyIn: ptr(60)},
		{Worker: 0, State: "negotiating"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A child waits for the name of its peer, unless an operator holds it down.
func TestStatusOfAChildWithoutAnAddress(t *testing.T) {
	for _, tt := range []struct {
		name, remote string
		state        ike.PeerState
		held         *ike.Hold
		want         string
	}{
		{"not resolved", "hq.example.com", ike.PeerDown, nil, "the peer's name is not resolved"},
		{"held", "hq.example.com", ike.PeerDown, &ike.Hold{By: "root"}, "as the engine says"},
		{"up although not resolved", "hq.example.com", ike.PeerEstablished, nil, "as the engine says"},
		{"an address", "192.0.2.2", ike.PeerDown, nil, "as the engine says"},
	} {
		d, f, _ := testDaemon(t, peerText("a", tt.remote, "2"), nil)
		f.status = []ike.PeerStatus{{Name: "a", State: tt.state, Children: []ike.ChildStatus{{Name: "lan", State: ike.ChildWaiting, Reason: "as the engine says", Held: tt.held}}}}
		st, err := d.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if c := st.Peers[0].Children[0]; c.Reason != tt.want || (c.TakenDown != nil) != (tt.held != nil) {
			t.Errorf("%s: the child is down for %q, taken down: %v; want %q", tt.name, c.Reason, c.TakenDown, tt.want)
		}
	}
}
