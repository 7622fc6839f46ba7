package daemon

import (
	"context"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/control"
)

// Strangers are shown apart from the peers that they claim to be.
func TestStatusOfStrangers(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	if st, err := d.Status(context.Background()); err != nil || st.Strangers == nil || len(st.Strangers) != 0 {
		t.Fatalf("got %+v, %v: want an empty list, not null", st, err)
	}
	from := netip.MustParseAddrPort("203.0.113.9:500")
	f.strangers = []driver.Stranger{{At: epoch.Add(7 * time.Second), Times: 2, Refused: ike.Refused{From: from, Claims: "a", Event: "auth-failed", Text: "wrong key", Cause: "psk", Explain: []string{"ours: a"}}}}
	st, err := d.Status(context.Background())
	want := control.Stranger{Remote: "203.0.113.9:500", Claims: "a", Event: "auth-failed", Reason: "wrong key", Cause: "psk", Details: []string{"ours: a"}, Times: 2, Last: 3}
	if err != nil || len(st.Strangers) != 1 || !reflect.DeepEqual(st.Strangers[0], want) {
		t.Errorf("got %+v, %v, want %+v", st.Strangers, err, want)
	}
	f.strangers = append(f.strangers, driver.Stranger{At: epoch, Refused: ike.Refused{From: from, Claims: "b"}}, driver.Stranger{At: epoch, Refused: ike.Refused{From: from}})
	of, err := d.StatusOf(context.Background(), "a")
	if err != nil || len(of.Strangers) != 2 || of.Strangers[0].Claims != "a" || of.Strangers[1].Claims != "" {
		t.Errorf("with a's status: %+v, %v; want those that claim to be it or nobody", of, err)
	}
	if st.Peers[0].Reason != "" {
		t.Errorf("the peer's reason is %q", st.Peers[0].Reason)
	}
}
