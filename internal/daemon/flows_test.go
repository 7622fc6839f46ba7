package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"culvert/internal/control"
	"culvert/internal/ipsec"
)

// withChild returns peer a, whose child lan has other remote networks and more keys.
func withChild(remote, more string) string {
	return strings.Replace(peerText("a", "192.0.2.2", "2"), `"10.2.0.0/16"`, remote, 1) + more + "\n"
}

func TestRoutesOfAChild(t *testing.T) {
	lan := " from [10.1.0.0/16]"
	for name, tt := range map[string]struct {
		remote, more, daemon string
		want                 []string
	}{
		"auto":              {`"10.2.0.0/16"`, "", "", []string{"10.2.0.0/16" + lan}},
		"none":              {`"0.0.0.0/0"`, `routes = "none"`, "", nil},
		"a list":            {`"0.0.0.0/0"`, `routes = ["10.8.0.0/16", "10.9.0.0/16"]`, "", []string{"10.8.0.0/16" + lan, "10.9.0.0/16" + lan}},
		"part of a range":   {`"10.2.0.1-10.2.0.6"`, `bypass = ["10.2.0.2/31"]`, "", []string{"10.2.0.1/32" + lan, "10.2.0.4/31" + lan, "10.2.0.6/32" + lan}},
		"of a range to all": {`"10.2.0.1-10.2.0.6"`, "", `bypass = ["10.2.0.2/31"]`, []string{"10.2.0.1/32" + lan, "10.2.0.4/31" + lan, "10.2.0.6/32" + lan}},
	} {
		_, f, _ := testDaemon(t, "[daemon]\n"+tt.daemon+"\n"+withChild(tt.remote, tt.more), nil)
		if got := f.remotes(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if len(f.policies) != 1 {
			t.Errorf("%s: the SPD has %d policies, want the child's", name, len(f.policies))
		}
	}
}

// Bypasses reach the kernel and the packet path, and follow a reload.
func TestBypass(t *testing.T) {
	d, f, _ := testDaemon(t, "[daemon]\nbypass = [\"10.6.0.0/16\"]\n"+withChild(`"10.0.0.0/8"`, `bypass = ["10.5.0.0/24"]`), nil)
	const lan = "[10.1.0.0/16]"
	has := func(list []string, p string, want bool) {
		t.Helper()
		if slices.Contains(list, p) != want {
			t.Errorf("outside: got %q, want %s in it: %t", list, p, want)
		}
	}
	has(f.exempt(lan), "10.5.0.0/24", true)
	has(f.exempt(lan), "10.6.0.0/16", true)
	want := map[ipsec.PolicyID]string{
		f.named("a", "lan"): "[10.1.0.0/16] to [10.5.0.0/24]",
		allBypass:           "[0.0.0.0/0 ::/0] to [10.6.0.0/16]",
	}
	if !maps.Equal(f.bypasses, want) {
		t.Errorf("the packet path has %v, want %v", f.bypasses, want)
	}
	var said *control.Changes
	reload := func(doc string) {
		t.Helper()
		writeConfig(t, d, doc)
		var err error
		if said, err = d.Reload(context.Background(), forced); err != nil {
			t.Fatal(err)
		}
	}
	reload("[daemon]\nbypass = [\"10.6.0.0/16\"]\n" + withChild(`"10.0.0.0/8"`, ""))
	has(f.exempt(lan), "10.5.0.0/24", false)
	if len(f.bypasses) != 1 || f.bypasses[allBypass] == "" {
		t.Errorf("after the child's went: %v", f.bypasses)
	}
	reload(withChild(`"10.0.0.0/8"`, `bypass = ["10.7.0.0/24"]`))
	if !slices.Contains(said.Changes, "[daemon] bypass is [] now") {
		t.Errorf("the reload says %q", said.Changes)
	}
	has(f.exempt(lan), "10.6.0.0/16", false)
	has(f.exempt(lan), "10.7.0.0/24", true)
	if len(f.bypasses) != 1 || f.bypasses[f.named("a", "lan")] == "" {
		t.Errorf("after that of all went: %v", f.bypasses)
	}
	reload(peerText("b", "192.0.2.3", "3"))
	if len(f.bypasses) != 0 {
		t.Errorf("after the peer went: %v", f.bypasses)
	}
}

// A child without routes leaves the flows, and comes back with them.
func TestRoutesFollowAReload(t *testing.T) {
	d, f, _ := testDaemon(t, withChild(`"10.2.0.0/16"`, ""), nil)
	for _, tt := range []struct {
		more string
		want int
	}{{`routes = "none"`, 0}, {"", 1}, {`routes = ["10.2.1.0/24", "10.2.2.0/24"]`, 2}, {`routes = "none"`, 0}} {
		writeConfig(t, d, withChild(`"10.2.0.0/16"`, tt.more))
		if _, err := d.Reload(context.Background(), forced); err != nil {
			t.Fatal(err)
		}
		if got := f.remotes(); len(got) != tt.want {
			t.Errorf("%q: got %q, want %d", tt.more, got, tt.want)
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
