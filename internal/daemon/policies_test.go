package daemon

import (
	"errors"
	"maps"
	"net/netip"
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
		if len(f.policies) != 1 || len(d.policies.inForce) != 1 || d.policies.of("bench", "man") != f.policies[0].ID {
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
	if _, err := d.Reload(t.Context(), forced); err == nil {
		t.Fatal("no error")
	}
	g.err = nil
	writeConfig(t, d, peerText("a", "192.0.2.2", "2"))
	reload(t, d)
	if len(f.policies) != 1 || f.named("a", "lan") == 0 || d.flows.IDs()[0] != protect.ID(f.named("a", "lan")) {
		t.Errorf("got policies %v, flows of %v", f.policies, d.flows.IDs())
	}
}

// A network more gives the policy another ID. To the kernel only the network is a change.
func TestOneNetworkMoreIsOneChange(t *testing.T) {
	more := netip.MustParsePrefix("10.9.0.0/16")
	two := strings.Replace(peerText("a", "192.0.2.2", "2"), `"10.2.0.0/16"`, `"10.2.0.0/16", "10.9.0.0/16"`, 1)
	for _, tt := range []struct {
		name, before, after string
		added, removed      []protect.Range
		set                 map[netip.Prefix]protect.Kind
		unset               []netip.Prefix
	}{
		{"one more", peerText("a", "192.0.2.2", "2"), two, []protect.Range{protect.RangeOf(more)}, nil, map[netip.Prefix]protect.Kind{more: protect.Protect}, nil},
		{"one less", two, peerText("a", "192.0.2.2", "2"), nil, []protect.Range{protect.RangeOf(more)}, nil, []netip.Prefix{more}},
	} {
		d, f, _ := testDaemon(t, tt.before, nil)
		g := withGuard(d, f)
		reload(t, d)
		was := f.named("a", "lan")
		writeConfig(t, d, tt.after)
		reload(t, d)
		if now := f.named("a", "lan"); now == was || len(f.policies) != 1 || len(d.policies.inForce) != 1 {
			t.Errorf("%s: the policy was %d and is %d; in force: %v", tt.name, was, now, d.policies.inForce)
		}
		if len(g.changes) != 1 || len(g.changes[0].Groups) != 1 {
			t.Fatalf("%s: the changes are %+v", tt.name, g.changes)
		}
		c := g.changes[0].Groups[0]
		if !slices.Equal(c.Added, tt.added) || !slices.Equal(c.Removed, tt.removed) || !maps.Equal(c.Set, tt.set) || !slices.Equal(c.Unset, tt.unset) {
			t.Errorf("%s: the change is %+v", tt.name, c)
		}
	}
}

// What the engine does not tell is not taken for removed: the change is refused, and the flows stay
// as they are.
func TestPolicyThatTheEngineDoesNotTell(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	routes := f.remotes()
	for _, whole := range []bool{false, true} {
		diff := compare(nil, d.config())
		diff.whole = whole
		if err := d.enforce(&diff, nil, nil); err == nil || !strings.Contains(err.Error(), "no policy for a/lan") {
			t.Errorf("whole %v: got %v", whole, err)
		}
		if !slices.Equal(f.remotes(), routes) || len(f.policies) != 1 {
			t.Errorf("whole %v: got routes %q, policies %v", whole, f.remotes(), f.policies)
		}
	}
}
