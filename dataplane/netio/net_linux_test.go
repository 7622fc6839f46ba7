package netio

import (
	"net/netip"
	"testing"
)

// The system would send from 127.0.0.1, where no socket receives the answer.
func TestLocalAddrIsListenedAt(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.5": "127.0.0.5", "127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.1"} {
		n, err := Open(Config{Listen: []netip.Addr{netip.MustParseAddr(listen)}, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.LocalAddr(netip.MustParseAddr("127.0.0.9"))
		n.Close()
		if err != nil || got != netip.MustParseAddr(want) {
			t.Errorf("listening at %s: got %s, %v, want %s", listen, got, err, want)
		}
	}
}
