package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"culvert/internal/config"
)

// A removed child, or one that becomes manual, takes its policy or its peer with it.
func TestCompare(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+"[[peer.child]]\nname = \"dmz\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.3.0.0/16\"]\n"+peerText("bench", "192.0.2.9", "4"), nil)
	f.took()
	reload := func(doc string) {
		t.Helper()
		writeConfig(t, d, doc)
		if _, err := d.Reload(context.Background(), forced); err != nil {
			t.Fatal(err)
		}
	}
	reload(peerText("a", "192.0.2.2", "2") + manualText("192.0.2.9", "01"))
	wantCalls(t, f, "policies +2 -2", "routes", "install man", "activate", "peers +1 -1")
	if len(f.peers) != 1 || f.peers[0].Name != "a" || len(f.peers[0].Children) != 1 || len(f.policies) != 2 {
		t.Errorf("got peers %v, policies %v", f.peers, f.policies)
	}
	reload("[daemon]\nlisten = [\"192.0.2.1\"]\n" + peerText("a", "192.0.2.2", "2") + manualText("192.0.2.9", "01"))
	wantCalls(t, f, "policies +2 -0", "routes", "peers") // after a change of our own addresses: everything
}

// Certificates that are read again and say the same change nothing; others do.
func TestCertificatesThatAreReadAgain(t *testing.T) {
	d, _, _ := testDaemon(t, "", nil)
	dir := filepath.Dir(d.opts.Config)
	doc := strings.Replace(peerText("right", "192.0.2.2", "2"), `psk = "0123456789abcdef"`, "cert = \"left.pem\"\nca = \"ca.crt\"", 1)
	load := func() *config.Config {
		t.Helper()
		writeConfig(t, d, doc)
		c, err := config.Load(d.opts.Config)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	writeKeys(t, dir)
	first, second := load(), load()
	if got := compare(first, second); len(got.set) != 0 {
		t.Errorf("read again: %d peers change", len(got.set))
	}
	writeKeys(t, dir)
	if got := compare(first, load()); len(got.set) != 1 {
		t.Errorf("other certificates: %d peers change", len(got.set))
	}
}
