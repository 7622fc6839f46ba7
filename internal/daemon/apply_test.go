package daemon

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/protect"
)

func TestProtectionComesBeforePeers(t *testing.T) {
	_, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"), nil)
	wantCalls(t, f, "policies +2 -0", "routes", "install man", "activate", "peers")
	if len(f.policies) != 2 || f.policies[0].Name != (ipsec.PolicyName{Peer: "a", Child: "lan"}) || f.policies[1].Name != (ipsec.PolicyName{Peer: "bench", Child: "man"}) {
		t.Errorf("got policies %v", f.policies)
	}
	if len(f.peers) != 1 || f.peers[0].Name != "a" {
		t.Errorf("got peers %v: the manual one is not IKE's", f.peers)
	}
	if got, want := f.remotes(), []string{"10.2.0.0/16 from [10.1.0.0/16]", "10.77.0.0/16 from [10.1.0.0/16]"}; !slices.Equal(got, want) {
		t.Errorf("got routes %q, want %q", got, want)
	}
	for id, sa := range f.sas {
		if id < firstManualID || sa.Path != ipsec.RawPath(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")) || sa.SPIIn != 0x2001 {
			t.Errorf("got manual SA %d: %+v", id, sa)
		}
	}
}

// If the kernel takes only some routes, for example with IPv6 off, the daemon works with those.
func TestRoutesInPart(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	d.routes = routesInPart{routes{f}}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(context.Background(), forced); err != nil || len(f.peers) != 2 {
		t.Errorf("got %v, peers %v", err, f.peers)
	}
	if n := strings.Count(log.String(), "refused 1 of the routes"); n != 1 || !strings.Contains(log.String(), "the remedy") {
		t.Errorf("%d warnings in %s", n, log)
	}
}

// routesInPart refuses some of the routes.
type routesInPart struct{ routes }

func (r routesInPart) Apply(c protect.Change) error {
	return errors.Join(nil, &tun.Incomplete{Refused: 1, First: os.ErrPermission, Remedy: "the remedy"})
}

// noRoutes refuses all routes.
type noRoutes struct{ routes }

func (noRoutes) Apply(protect.Change) error { return errors.New("no routes here") }
