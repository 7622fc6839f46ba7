package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/control"
)

func TestReloadAppliesTheDifference(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3")+peerText("c", "192.0.2.4", "4")+manualText("192.0.2.9", "01"), nil)
	f.took()
	changes := func(doc string) []string {
		t.Helper()
		writeConfig(t, d, doc)
		out, err := d.Reload(context.Background(), forced)
		if err != nil {
			t.Fatal(err)
		}
		return out.Changes
	}
	b := strings.Replace(peerText("b", "192.0.2.3", "3"), "psk =", "dpd = \"5s\"\npsk =", 1) + "start = \"never\"\n"
	got := changes("[daemon]\nlog = \"debug\"\nmtu = 1300\n" + peerText("a", "192.0.2.5", "2") + b + peerText("d", "192.0.2.6", "6") + manualText("192.0.2.9", "02"))
	want := []string{
		`peer "c" is removed: its SAs are deleted`,
		`peer "a" changes (remote): its SAs stay; remote: from the next connection`,
		`peer "b" changes (dpd, start of child lan): its SAs stay`,
		`peer "d" is added`,
		`peer "bench" changes (child man): the SAs of child man are closed, the others stay`,
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

// Changes that concern only the kernel end no SA.
func TestReloadOfRoutingKeepsTheSAs(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	writeConfig(t, d, "[daemon]\nguard = \"off\"\nmark = \"0x10/0x30\"\nroute_table = 300\nrule_priority = 7\noffloads = \"none\"\nmtu_min = 700\nstate = \"/other\"\ncrash_tokens = \"off\"\n"+
		strings.Replace(peerText("a", "192.0.2.2", "2"), "psk =", "mtu = 1300\npsk =", 1)+"bypass = [\"10.2.9.0/24\"]\n")
	out, err := d.Reload(context.Background(), forced)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`peer "a" changes (mtu, routing of child lan): its SAs stay`,
		`[daemon] state, crash_tokens, mtu_min, offloads, guard, mark, route_table, rule_priority: takes effect when the daemon is started again`,
		`opened: traffic between 10.1.0.0/16 and 10.2.9.0/24 is no longer protected`,
	}
	if !slices.Equal(out.Changes, want) {
		t.Errorf("got  %q\nwant %q", out.Changes, want)
	}
	if len(f.policies) != 1 || f.policies[0].MTU != 1300 {
		t.Errorf("the packet path has the policies %+v", f.policies)
	}
}

func TestAClientThatGoesAwayLeavesNoHalfReload(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	writeConfig(t, d, peerText("b", "192.0.2.3", "3"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Reload(ctx, forced); err != nil || f.peers[0].Name != "b" {
		t.Errorf("got %v and peers %v", err, f.peers)
	}
}

func TestBadReloadChangesNothing(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	before := d.config()
	writeConfig(t, d, strings.Replace(peerText("a", "192.0.2.2", "2"), "remote =", "remotee =", 1)+"esn = 3\n")
	_, err := d.Reload(context.Background(), forced)
	var e *control.Error
	if !errors.As(err, &e) || e.Code != 422 || len(e.Errors) != 2 || !strings.Contains(e.Errors[0], `did you mean "remote"`) {
		t.Errorf("got %#v", err)
	}
	wantCalls(t, f)
	if d.config() != before || !strings.Contains(log.String(), "the old one stays in force") {
		t.Errorf("the old configuration is not in force; log: %s", log)
	}
}

// stalledEngine brings the policies into force, and then does not take the change.
type stalledEngine struct{ keyExchange }

func (e *stalledEngine) ChangePeers(ctx context.Context, c ike.ChangePeers, follow driver.Follow) error {
	plan := ike.PlanPeers{Set: c.Set, Gone: c.Gone}
	return cmp.Or(e.keyExchange.(*fakeParts).plan(plan, nil, follow), context.DeadlineExceeded)
}

// A reload after one that failed in part applies everything, whatever it changes itself.
func TestReloadAfterOneThatFailed(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.took()
	d.routes = noRoutes{routes{f}}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(context.Background(), forced); err == nil {
		t.Fatal("no error")
	}
	wantCalls(t, f, "policies +1 -0")
	d.routes = routes{f}
	out, err := d.Reload(context.Background(), forced)
	if err != nil || len(f.peers) != 2 || len(f.policies) != 2 {
		t.Fatalf("got %v, peers %v, policies %v", err, f.peers, f.policies)
	}
	want := []string{`peer "b" is added`, "the last change was not applied in full: all of the configuration is applied again"}
	if !slices.Equal(out.Changes, want) {
		t.Errorf("got %q, want %q", out.Changes, want)
	}
	if out, err := d.Reload(context.Background(), forced); err != nil || len(out.Changes) != 0 {
		t.Errorf("a third time: got %v, %v", out, err)
	}
	f.took()
	d.ike = &stalledEngine{d.ike}
	writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
	if _, err := d.Reload(context.Background(), forced); err == nil {
		t.Fatal("the engine stalls, and no error")
	}
	d.ike = d.ike.(*stalledEngine).keyExchange
	want = []string{`peer "b" is removed: its SAs are deleted`, want[1]}
	if out, err := d.Reload(context.Background(), forced); err != nil || !slices.Equal(out.Changes[:2], want) || len(f.peers) != 1 {
		t.Errorf("after a stall: got %v, %v, peers %v", out, err, f.peers)
	}
	wantCalls(t, f, "policies +0 -1", "routes", "policies +1 -1", "routes", "peers")
}
