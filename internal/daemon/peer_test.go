package daemon

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"culvert/ike"
	"culvert/internal/ipsec"
)

func TestWithoutProtocol50AutoMeansUDP(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.rawESP = false
	writeConfig(t, d, peerText("a", "192.0.2.3", "2")+manualText("192.0.2.9", "01"))
	if _, err := d.Reload(context.Background(), forced); err != nil {
		t.Fatal(err)
	}
	if f.peers[0].Encap != ike.EncapAlways {
		t.Errorf("got encap %v, want always", f.peers[0].Encap)
	}
	for _, sa := range f.sas {
		if sa.Path.Via() != ipsec.NAT || sa.Path.Local().Port() != 4500 || sa.Path.Remote().Port() != 4500 {
			t.Errorf("got path %v, want UDP 4500", sa.Path)
		}
	}
	writeConfig(t, d, strings.Replace(peerText("a", "192.0.2.2", "2"), "psk =", "encap = \"never\"\npsk =", 1))
	if _, err := d.Reload(context.Background(), forced); err == nil || !strings.Contains(err.Error(), `encap = "never"`) {
		t.Errorf("got %v, want a refusal of encap = never", err)
	}
}

func TestAddressesOfAForeignFamilyAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{}
		n.set("2001:db8::2", "192.0.2.2")
		d, f, _ := testDaemon(t, "[daemon]\nlisten = [\"192.0.2.1\"]\n"+peerText("a", "hq.example.com", "2"), n.ask)
		synctest.Wait()
		if got := f.peers[0].Remote; len(got) != 1 || !got[0].Is4() {
			t.Errorf("got addresses %v, want the IPv4 one", got)
		}
		d.resolver.close()
	})
}
