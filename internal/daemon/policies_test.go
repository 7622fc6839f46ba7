package daemon

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"culvert/internal/ipsec"
	"culvert/tun/protect"
)

// A policy that is changed takes another ID in the packet path, but no flow of it is opened
// meanwhile, neither in the guard nor in the routes.
func TestChangedPolicyStaysProtected(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	g := withGuard(d, f)
	reload(t, d)
	was, routes := f.named("a", "lan"), f.remotes()
	writeConfig(t, d, strings.Replace(peerText("a", "192.0.2.2", "2"), "psk =", "encap = \"always\"\npsk =", 1))
	f.took()
	c := reload(t, d)
	wantCalls(t, f, "policies +1 -1", "guard", "routes", "peers +1 -0")
	if now := f.named("a", "lan"); now == was || now == 0 || len(f.policies) != 1 {
		t.Errorf("the policy was %d and is %d; all: %v", was, now, f.policies)
	}
	for _, change := range g.changes {
		for _, group := range change.Groups {
			if len(group.Removed) > 0 || len(group.Unset) > 0 {
				t.Errorf("the guard opens %+v", group)
			}
		}
	}
	if len(d.opened) > 0 || !slices.Equal(f.remotes(), routes) || slices.ContainsFunc(c.Changes, func(s string) bool { return s[:6] == "opened" }) {
		t.Errorf("opened: %v; routes %q, before %q", d.opened, f.remotes(), routes)
	}
}

// A child that becomes manual, and one that becomes IKE's, leave no second policy behind.
func TestPolicyChangesItsKind(t *testing.T) {
	ike := "[[peer]]\nname = \"bench\"\nremote = \"192.0.2.9\"\nlocal_id = \"me\"\nremote_id = \"bench\"\npsk = \"0123456789abcdef\"\n" +
		"[[peer.child]]\nname = \"man\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.77.0.0/16\"]\n"
	d, f, _ := testDaemon(t, manualText("192.0.2.9", "01"), nil)
	manual := f.named("bench", "man")
	if manual <= allBypass {
		t.Errorf("a manual policy has the ID %d, which is the engine's", manual)
	}
	for _, doc := range []string{ike, manualText("192.0.2.9", "01"), ike} {
		writeConfig(t, d, doc)
		reload(t, d)
		if len(f.policies) != 1 || len(d.policies.spd) != 1 || d.policies.of("bench", "man") != f.policies[0].ID {
			t.Fatalf("policies %v, known %v", f.policies, d.policies)
		}
	}
	if f.named("bench", "man") >= ipsec.FirstManualPolicy {
		t.Error("the engine's policy has an ID of a manual one")
	}
}

// Policies that came into force before the engine refused a change are taken back by the next one.
func TestPoliciesAfterAnError(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	g := withGuard(d, f)
	reload(t, d)
	g.err = errors.New("no")
	writeConfig(t, d, peerText("b", "192.0.2.3", "3"))
	if _, err := d.Reload(t.Context()); err == nil {
		t.Fatal("no error")
	}
	g.err = nil
	writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
	reload(t, d)
	if len(f.policies) != 1 || f.named("a", "lan") == 0 || d.flows.IDs()[0] != (protect.ID{Peer: "a", Child: "lan"}) {
		t.Errorf("got policies %v, flows of %v", f.policies, d.flows.IDs())
	}
}
