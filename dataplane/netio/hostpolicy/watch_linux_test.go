package hostpolicy

import (
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestWatch: each change of nftables is told once, whatever its size, and each of IPsec policies.
func TestWatch(t *testing.T) {
	h := newHost(t)
	changes := make(chan error, 100)
	var w *Watch
	if err := h.Do(func() (err error) { w, err = NewWatch(func(err error) { changes <- err }); return err }); err != nil {
		t.Fatal(err)
	}
	told := func(what string) {
		t.Helper()
		select {
		case err := <-changes:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s is not told", what)
		}
	}
	if err := rulesOf(h, "inet", "set s { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }; chain a { "+input+"accept; drop; }"); err != nil {
		t.Fatal(err)
	}
	told("a table")
	if err := h.NFT("delete table inet t"); err != nil {
		t.Fatal(err)
	}
	told("its end")
	_, all, _ := net.ParseCIDR("192.0.2.0/24")
	if err := h.Do(func() error {
		return netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{Src: all, Dst: all, Dir: netlink.XFRM_DIR_OUT})
	}); err == nil {
		told("an IPsec policy")
	}
	w.Close()
	if len(changes) != 0 {
		t.Errorf("%d more changes are told", len(changes))
	}
}
