package daemon

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/selector"
)

func sel(t *testing.T, text string) selector.Selector {
	t.Helper()
	s, err := selector.ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// established sets the status of peer "a" with its child up.
func established(t *testing.T, f *fakeParts) {
	f.status = []ike.PeerStatus{{Name: "a", State: ike.PeerEstablished, Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500"),
		RemoteID: "a.example.com", SPIi: 0x123456789abcdef, SPIr: 0xfedcba9876543210, Proposal: "aes256gcm16-prfsha384-x25519", NAT: ike.NATState{Remote: true},
		Established: epoch, RekeyAt: epoch.Add(time.Hour), Explain: []string{"ours: x", "theirs: y"}, Children: []ike.ChildStatus{{
			Name: "lan", State: ike.ChildInstalled, ID: 7, Encap: true, EncapWhy: "there is a NAT", SPIIn: 0xc0ffee01, SPIOut: 0xbeef, Proposal: "aes128gcm16-esn",
			AskedLocal: []selector.Selector{sel(t, "10.1.0.0/16")}, AskedRemote: []selector.Selector{sel(t, "10.2.0.0/16")}, Narrow: true,
			Role:    &ike.Role{Since: epoch.Add(3 * time.Second), Why: "another one is preferred"},
			LocalTS: []selector.Selector{sel(t, "10.1.0.0/24")}, RemoteTS: []selector.Selector{sel(t, "10.2.0.0/24")}, RekeyAt: epoch.Add(20 * time.Second), Rekeys: 2}}}}
	f.stats[f.named("a", "lan")] = dataplane.ChildStats{BytesIn: 1, BytesOut: 2, PacketsIn: 3, PacketsOut: 4, LastIn: epoch.Add(9 * time.Second), MTU: 1400, Drops: map[string]uint64{"icv": 5, "replay": 0}}
}

func TestStatusOfAnEstablishedPeer(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if st.Version != 1 || st.Uptime != 10 || st.Counters["ike_malformed"] != 1 || st.Counters["esp_icv"] != 2 || st.Counters["both"] != 15 || st.Counters["tun_kernel_drops"] != 7 {
		t.Errorf("got %+v", st)
	}
	p := st.Peers[0]
	if p.State != "established" || p.Remote != "192.0.2.2:500" || p.Local != "192.0.2.1:500" || p.RemoteID != "a.example.com" || p.SPIi != "0123456789abcdef" ||
		p.SPIr != "fedcba9876543210" || p.NAT != "remote" || *p.Established != 10 || *p.RekeyIn != 3590 || p.Reason != "" {
		t.Errorf("got %+v", p)
	}
	c := p.Children[0]
	if c.State != "installed" || c.Encap != "udp" || c.EncapWhy != "there is a NAT" || c.SPIIn != "c0ffee01" || c.SPIOut != "0000beef" || c.LocalTS[0] != "10.1.0.0/24" || c.RemoteTS[0] != "10.2.0.0/24" ||
		c.MTU != 1400 || c.BytesIn != 1 || c.BytesOut != 2 || c.PacketsIn != 3 || c.PacketsOut != 4 || *c.LastIn != 1 || c.LastOut != nil || *c.RekeyIn != 10 || c.Rekeys != 2 || c.Drops["icv"] != 5 {
		t.Errorf("got %+v", c)
	}
	if !c.Narrowed || c.AskedLocal[0] != "10.1.0.0/16" || c.AskedRemote[0] != "10.2.0.0/16" {
		t.Errorf("narrowed %v from %v and %v", c.Narrowed, c.AskedLocal, c.AskedRemote)
	}
	if c.Role == nil || *c.Role != (control.Role{For: 7, Why: "another one is preferred"}) {
		t.Errorf("the role is %+v", c.Role)
	}
}

func TestStatusOfWhatIsDown(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("2001:db8::9", "01"), nil)
	f.status = []ike.PeerStatus{{Name: "a", State: ike.PeerDown, Reason: "no answer", Children: []ike.ChildStatus{{Name: "lan", State: ike.ChildWaiting, Reason: "waits for traffic"}}}}
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, bench := st.Peers[0], st.Peers[1]
	if a.State != "down" || a.Remote != "192.0.2.2" || a.RemoteID != "a" || a.SPIi != "" || a.NAT != "none" || a.Established != nil || a.RekeyIn != nil || a.Reason != "no answer" {
		t.Errorf("got %+v", a)
	}
	if c := a.Children[0]; c.State != "waiting" || c.SPIIn != "" || c.LocalTS[0] != "10.1.0.0/16" || c.Narrowed || c.MTU != 0 || c.Drops == nil || c.Reason != "waits for traffic" {
		t.Errorf("got %+v", c)
	}
	if c := bench.Children[0]; bench.State != "manual" || c.State != "installed" || c.SPIIn != "00002001" || c.SPIOut != "00001001" || c.Proposal != "aes128gcm16" || c.MTU != 1446 {
		t.Errorf("got %+v", bench)
	}
}
