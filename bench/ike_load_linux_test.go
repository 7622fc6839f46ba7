package bench

import (
	"context"
	"testing"
	"time"

	"culvert/ike"
	"culvert/internal/netlab"
)

// TestIKELoad has clients of the load call a server of it, with each way to authenticate: they come
// up and go down, and then stay.
func TestIKELoad(t *testing.T) {
	_ = netlab.Need(t)
	for _, a := range ikeAuths[:2] {
		pki, err := a.newPKI()
		if err != nil {
			t.Fatal(err)
		}
		s, err := newIKESite(pki, 3)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		peer, err := ikePeer(pki, true, 0)
		if err != nil {
			t.Fatal(err)
		}
		peers, err := ikePeers(pki, 3)
		if err != nil {
			t.Fatal(err)
		}
		var loads [2]*ikeLoad
		for i, list := range [][]ike.Peer{peers, {peer}} {
			if loads[i], err = startIKELoad(s.hosts[i], ikeAddrs[i], list); err != nil {
				t.Fatal(err)
			}
			defer loads[i].close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		took, inTime, err := loads[0].handshakes(ctx, 200*time.Millisecond)
		if err != nil || len(took) < 3 || inTime > len(took) {
			t.Errorf("%s: %d handshakes, %d in time: %v", a.name, len(took), inTime, err)
		}
		loads[0].next.Store(0)
		if err := loads[0].hold(ctx); err != nil || loads[0].plane.installed.Load() != 3 {
			t.Errorf("%s: %d of 3 clients are up: %v", a.name, loads[0].plane.installed.Load(), err)
		}
		if err := netlab.Until(ctx, "the server", func() bool { return loads[1].plane.installed.Load() == 3 }); err != nil {
			t.Error(err)
		}
	}
}
