package daemon

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/ike"
	"culvert/internal/control"
	"culvert/tun"
	"culvert/tun/protect"
)

func TestProtectionComesBeforePeers(t *testing.T) {
	_, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"), nil)
	wantCalls(t, f, "policies", "routes", "install man", "activate", "peers")
	if len(f.policies) != 2 || f.policies[0].Policy != (esp.Policy{Peer: "a", Child: "lan"}) || f.policies[1].Policy != (esp.Policy{Peer: "bench", Child: "man"}) {
		t.Errorf("got policies %v", f.policies)
	}
	if len(f.peers) != 1 || f.peers[0].Name != "a" {
		t.Errorf("got peers %v: the manual one is not IKE's", f.peers)
	}
	if got, want := f.remotes(), []string{"10.2.0.0/16 from [10.1.0.0/16]", "10.77.0.0/16 from [10.1.0.0/16]"}; !slices.Equal(got, want) {
		t.Errorf("got routes %q, want %q", got, want)
	}
	for id, sa := range f.sas {
		if id < firstManualID || sa.Endpoint.Encap || sa.Endpoint.Local.String() != "192.0.2.1:0" || sa.Endpoint.Remote.String() != "192.0.2.9:0" || sa.SPIIn != 0x2001 {
			t.Errorf("got manual SA %d: %+v", id, sa)
		}
	}
}

func TestRoutesOfSharedNetworks(t *testing.T) {
	doc := peerText("a", "192.0.2.2", "2") + strings.Replace(peerText("b", "192.0.2.3", "2"), "10.1.0.0/16", "10.5.0.0/16\", \"fd00::/64", 1)
	doc = strings.Replace(doc, "[\"10.2.0.0/16\"]", "[\"10.2.0.0/16\", \"10.3.0.1-10.3.0.2\"]", 1)
	doc = doc[:len(doc)-2] + ", \"fd01::/64\"]\n"
	_, f, _ := testDaemon(t, doc, nil)
	got, want := f.remotes(), []string{
		"10.2.0.0/16 from [10.1.0.0/16]", "10.2.0.0/16 from [10.5.0.0/16]", "10.3.0.1/32 from [10.1.0.0/16]", "10.3.0.2/32 from [10.1.0.0/16]", "fd01::/64 from [fd00::/64]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWithoutProtocol50AutoMeansUDP(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.rawESP = false
	writeConfig(t, d, peerText("a", "192.0.2.3", "2")+manualText("192.0.2.9", "01"))
	if _, err := d.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if f.peers[0].Encap != ike.EncapAlways {
		t.Errorf("got encap %v, want always", f.peers[0].Encap)
	}
	for _, sa := range f.sas {
		if !sa.Endpoint.Encap || sa.Endpoint.Local.Port() != 4500 || sa.Endpoint.Remote.Port() != 4500 {
			t.Errorf("got endpoint %+v, want UDP 4500", sa.Endpoint)
		}
	}
	writeConfig(t, d, strings.Replace(peerText("a", "192.0.2.2", "2"), "psk =", "encap = \"never\"\npsk =", 1))
	if _, err := d.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), `encap = "never"`) {
		t.Errorf("got %v, want a refusal of encap = never", err)
	}
}

func TestReloadAppliesTheDifference(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3")+peerText("c", "192.0.2.4", "4")+manualText("192.0.2.9", "01"), nil)
	f.took()
	changes := func(doc string) []string {
		t.Helper()
		writeConfig(t, d, doc)
		out, err := d.Reload(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return out.Changes
	}
	b := strings.Replace(peerText("b", "192.0.2.3", "3"), "psk =", "dpd = \"5s\"\npsk =", 1) + "start = \"never\"\n"
	got := changes("[daemon]\nlog = \"debug\"\nmtu = 1300\n" + peerText("a", "192.0.2.5", "2") + b + peerText("d", "192.0.2.6", "6") + manualText("192.0.2.9", "02"))
	want := []string{
		`peer "c" is removed: its SAs are deleted`,
		`peer "a" changes (remote): its SAs stay, new ones go to the new address`,
		`peer "b" changes (dpd, child lan): its SAs are closed and come up anew`,
		`peer "d" is added`,
		`peer "bench" changes (child man): its SAs are closed and come up anew`,
		`[daemon] mtu: takes effect when the daemon is started again`,
		`[daemon] log is debug now`,
		`opened: traffic between 10.1.0.0/16 and 10.4.0.0/16 is no longer protected`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	wantCalls(t, f, "policies +4 -1", "routes", "remove man", "install man", "activate", "peers +3 -2") // bench speaks no IKE
	for _, line := range want {
		if !strings.Contains(log.String(), strings.ReplaceAll(line, `"`, `\"`)) {
			t.Errorf("the log does not say %s", line)
		}
	}
	if got := changes("[daemon]\nlog = \"debug\"\nmtu = 1300\n" + peerText("a", "192.0.2.5", "2") + b + peerText("d", "192.0.2.6", "6") + manualText("192.0.2.9", "02")); len(got) != 0 {
		t.Errorf("the same again: got %q", got)
	}
	wantCalls(t, f, "routes")
	if len(f.sas) != 1 {
		t.Errorf("got %d manual SAs, want the one", len(f.sas))
	}
}

// What the kernel alone is told of ends no SA.
func TestReloadOfRoutingKeepsTheSAs(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	writeConfig(t, d, "[daemon]\nguard = \"off\"\nmark = \"0x10/0x30\"\nroute_table = 300\nrule_priority = 7\noffloads = \"none\"\nmtu_min = 700\n"+
		strings.Replace(peerText("a", "192.0.2.2", "2"), "psk =", "mtu = 1300\npsk =", 1)+"bypass = [\"10.2.9.0/24\"]\n")
	out, err := d.Reload(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`peer "a" changes (mtu, routing of child lan): its SAs stay`,
		`[daemon] mtu_min, offloads, guard, mark, route_table, rule_priority: takes effect when the daemon is started again`,
		`opened: traffic between 10.1.0.0/16 and 10.2.9.0/24 is no longer protected`,
	}
	if !slices.Equal(out.Changes, want) {
		t.Errorf("got  %q\nwant %q", out.Changes, want)
	}
	if !maps.Equal(f.ceilings, map[string]int{"a": 1300}) {
		t.Errorf("the packet path has the ceilings %v", f.ceilings)
	}
}

func TestAClientThatGoesAwayLeavesNoHalfReload(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	writeConfig(t, d, peerText("b", "192.0.2.3", "3"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Reload(ctx); err != nil || f.peers[0].Name != "b" {
		t.Errorf("got %v and peers %v", err, f.peers)
	}
}

func TestBadReloadChangesNothing(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	before := d.config()
	writeConfig(t, d, strings.Replace(peerText("a", "192.0.2.2", "2"), "remote =", "remotee =", 1)+"esn = 3\n")
	_, err := d.Reload(context.Background())
	var e *control.Error
	if !errors.As(err, &e) || e.Code != 422 || len(e.Errors) != 2 || !strings.Contains(e.Errors[0], `did you mean "remote"`) {
		t.Errorf("got %#v", err)
	}
	wantCalls(t, f)
	if d.config() != before || !strings.Contains(log.String(), "the old one stays in force") {
		t.Errorf("the old configuration is not in force; log: %s", log)
	}
}

func TestManualSAThatCannotBeInstalled(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.refuse = errors.New("SPI 0x2001 is taken")
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"))
	if _, err := d.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if c := st.Peers[1].Children[0]; c.State != "down" || c.Reason != "SPI 0x2001 is taken" {
		t.Errorf("got %+v, want the reason", c)
	}
	f.refuse = nil
	if _, err := d.Reload(context.Background()); err != nil || len(f.sas) != 1 {
		t.Errorf("it is not tried again: %v", err)
	}
}

func TestActions(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"), nil)
	var asked ike.Input
	f.do = func(in ike.Input) error { asked = in; return nil }
	for _, tt := range []struct {
		action control.Action
		target control.Target
		text   string
		input  ike.Input
		code   int
	}{
		{control.Up, control.Target{Peer: "a"}, "a is up", ike.Connect{Peer: "a"}, 0},
		{control.Down, control.Target{Peer: "a", Child: "lan"}, "a/lan is down", ike.Disconnect{Peer: "a", Child: "lan"}, 0},
		{control.Rekey, control.Target{Peer: "a", Child: "lan"}, "a/lan is rekeyed", ike.Rekey{Peer: "a", Child: "lan"}, 0},
		{control.Up, control.Target{Peer: "x"}, `there is no peer "x": configured are a, bench`, nil, 404},
		{control.Up, control.Target{Peer: "a", Child: "x"}, `peer "a" has no child "x": the only one is lan`, nil, 404},
		{control.Rekey, control.Target{Peer: "bench"}, "there is nothing to rekey", nil, 409},
		{control.Rekey, control.Target{Peer: "bench", Child: "man"}, "there is nothing to rekey", nil, 409},
	} {
		asked = nil
		text, err := d.Act(context.Background(), tt.action, tt.target)
		var e *control.Error
		if errors.As(err, &e) {
			text = e.Text
		}
		if !strings.Contains(text, tt.text) || asked != tt.input || (e != nil) != (tt.code != 0) || e != nil && e.Code != tt.code {
			t.Errorf("%s %v: got %q, %v, asked %v", tt.action, tt.target, text, err, asked)
		}
	}
	f.do = func(ike.Input) error { return errors.New("no answer from 192.0.2.2") }
	var e *control.Error
	if _, err := d.Act(context.Background(), control.Up, control.Target{Peer: "a"}); !errors.As(err, &e) || e.Code != 409 || e.Text != "no answer from 192.0.2.2" {
		t.Errorf("got %v, want a conflict with the reason", err)
	}
}

// A reload that was not applied in full is made up for by the next, whatever that one changes.
func TestReloadAfterOneThatFailed(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	d.routes = noRoutes{routes{f}}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(context.Background()); err == nil {
		t.Fatal("no error")
	}
	wantCalls(t, f, "policies +1 -0")
	d.routes = routes{f}
	if _, err := d.Reload(context.Background()); err != nil || len(f.peers) != 2 || len(f.policies) != 2 {
		t.Errorf("got %v, peers %v, policies %v", err, f.peers, f.policies)
	}
	wantCalls(t, f, "policies", "routes", "peers")
}

// Where the kernel takes the routes in part, as with IPv6 switched off, the daemon works with
// those.
func TestRoutesInPart(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	d.routes = routesInPart{routes{f}}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(context.Background()); err != nil || len(f.peers) != 2 {
		t.Errorf("got %v, peers %v", err, f.peers)
	}
	if n := strings.Count(log.String(), "refused 1 of the routes"); n != 1 || !strings.Contains(log.String(), "the remedy") {
		t.Errorf("%d warnings in %s", n, log)
	}
}

// routesInPart are refused in part.
type routesInPart struct{ routes }

func (r routesInPart) Apply(c protect.Change) error {
	return errors.Join(nil, &tun.Incomplete{Refused: 1, First: os.ErrPermission, Remedy: "the remedy"})
}

// noRoutes cannot be set.
type noRoutes struct{ routes }

func (noRoutes) Apply(protect.Change) error { return errors.New("no routes here") }

// A child that goes, or becomes manual, takes its policy or its peer with it.
func TestCompare(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2")+"[[peer.child]]\nname = \"dmz\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.3.0.0/16\"]\n"+peerText("bench", "192.0.2.9", "4"), nil)
	f.took()
	reload := func(doc string) {
		t.Helper()
		writeConfig(t, d, doc)
		if _, err := d.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	reload(peerText("a", "192.0.2.2", "2") + manualText("192.0.2.9", "01"))
	wantCalls(t, f, "policies +2 -2", "routes", "install man", "activate", "peers +1 -1")
	if len(f.peers) != 1 || f.peers[0].Name != "a" || len(f.peers[0].Children) != 1 || len(f.policies) != 2 {
		t.Errorf("got peers %v, policies %v", f.peers, f.policies)
	}
	reload("[daemon]\nlisten = [\"192.0.2.1\"]\n" + peerText("a", "192.0.2.2", "2") + manualText("192.0.2.9", "01"))
	wantCalls(t, f, "policies", "routes", "peers") // other addresses of ours: everything is told anew
}
