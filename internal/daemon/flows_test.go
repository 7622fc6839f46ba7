package daemon

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/internal/control"
	"culvert/internal/host"
)

// withChild is peer a, whose child lan has other remote networks and more keys.
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
	want := map[esp.Policy]string{
		{Peer: "a", Child: "lan"}: "[10.1.0.0/16] to [10.5.0.0/24]",
		{}:                        "[0.0.0.0/0 ::/0] to [10.6.0.0/16]",
	}
	if !maps.Equal(f.bypasses, want) {
		t.Errorf("the packet path has %v, want %v", f.bypasses, want)
	}
	var said *control.Changes
	reload := func(doc string) {
		t.Helper()
		writeConfig(t, d, doc)
		var err error
		if said, err = d.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	reload("[daemon]\nbypass = [\"10.6.0.0/16\"]\n" + withChild(`"10.0.0.0/8"`, ""))
	has(f.exempt(lan), "10.5.0.0/24", false)
	if len(f.bypasses) != 1 || f.bypasses[esp.Policy{}] == "" {
		t.Errorf("after the child's went: %v", f.bypasses)
	}
	reload(withChild(`"10.0.0.0/8"`, `bypass = ["10.7.0.0/24"]`))
	if !slices.Contains(said.Changes, "[daemon] bypass is [] now") {
		t.Errorf("the reload says %q", said.Changes)
	}
	has(f.exempt(lan), "10.6.0.0/16", false)
	has(f.exempt(lan), "10.7.0.0/24", true)
	if len(f.bypasses) != 1 || f.bypasses[esp.Policy{Peer: "a", Child: "lan"}] == "" {
		t.Errorf("after that of all went: %v", f.bypasses)
	}
	reload(peerText("b", "192.0.2.3", "3"))
	if len(f.bypasses) != 0 {
		t.Errorf("after the peer went: %v", f.bypasses)
	}
}

// A child that is routed no more is taken out of the flows, and back.
func TestRoutesFollowAReload(t *testing.T) {
	d, f, _ := testDaemon(t, withChild(`"10.2.0.0/16"`, ""), nil)
	for _, tt := range []struct {
		more string
		want int
	}{{`routes = "none"`, 0}, {"", 1}, {`routes = ["10.2.1.0/24", "10.2.2.0/24"]`, 2}, {`routes = "none"`, 0}} {
		writeConfig(t, d, withChild(`"10.2.0.0/16"`, tt.more))
		if _, err := d.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := f.remotes(); len(got) != tt.want {
			t.Errorf("%q: got %q, want %d", tt.more, got, tt.want)
		}
	}
}

// scene is a host whose links and resolver the test sets.
type scene struct {
	view host.View
	stub host.Stub
}

func (s *scene) on(d *Daemon) {
	d.outside = &outside{view: func() *host.View { return &s.view }, stub: func() host.Stub { return s.stub }, log: d.log}
}

func link(name string, addrs ...string) host.Link {
	l := host.Link{Name: name}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, netip.MustParsePrefix(a))
	}
	return l
}

func TestFullTunnelLeavesTheLinksOutside(t *testing.T) {
	d, f, log := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	s := &scene{view: host.View{Links: []host.Link{link("wan", "192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"), link("culvert0", "10.3.0.1/24")}}}
	s.on(d)
	const lan = "[10.1.0.0/16]"
	d.hostChanged()
	if strings.Contains(log.String(), "outside of the tunnel") || slices.Contains(f.exempt(lan), "192.0.2.0/24") {
		t.Errorf("without a full tunnel: %q outside, log %s", f.exempt(lan), log)
	}
	writeConfig(t, d, withChild(`"0.0.0.0/0"`, ""))
	for range 2 { // the second one is no news
		if _, err := d.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	d.hostChanged()
	if n := strings.Count(log.String(), "outside of the tunnel: 192.0.2.0/24 (wan), 2001:db8::/64 (wan)\""); n != 1 {
		t.Errorf("it was said %d times: %s", n, log)
	}
	if got := f.exempt(lan); !slices.Contains(got, "192.0.2.0/24") || slices.Contains(got, "10.3.0.0/24") {
		t.Errorf("got %q outside", got)
	}
	s.view.Links = []host.Link{link("wan", "198.51.100.7/25")}
	d.hostChanged()
	if got := f.exempt(lan); slices.Contains(got, "192.0.2.0/24") || !slices.Contains(got, "198.51.100.0/25") {
		t.Errorf("after another address: got %q outside", got)
	}
	if got, want := f.remotes(), "[0.0.0.0/0 from [10.1.0.0/16]]"; fmt.Sprint(got) != want {
		t.Errorf("got routes %q, want %s", got, want)
	}
}

func TestStubResolversServersAreOutside(t *testing.T) {
	named := strings.Replace(withChild(`"0.0.0.0/0"`, ""), `remote = "192.0.2.2"`, `remote = "a.example.com"`, 1)
	ask := func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.2")}, nil
	}
	for name, tt := range map[string]struct {
		doc     string
		stub    host.Stub
		outside bool
		warned  int
	}{
		"a stub":              {named, host.Stub{Found: true, Upstreams: []netip.Addr{netip.MustParseAddr("203.0.113.53"), netip.MustParseAddr("fe80::1")}}, true, 0},
		"asked directly":      {named, host.Stub{}, false, 0},
		"an unknown upstream": {named, host.Stub{Found: true}, false, 1},
		"no name":             {withChild(`"0.0.0.0/0"`, ""), host.Stub{Found: true, Upstreams: []netip.Addr{netip.MustParseAddr("203.0.113.53")}}, false, 0},
	} {
		d, f, log := testDaemon(t, peerText("b", "192.0.2.3", "3"), ask)
		s := &scene{stub: tt.stub}
		s.on(d)
		writeConfig(t, d, tt.doc)
		for range 2 {
			if _, err := d.Reload(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		d.resolver.close()
		if got := slices.Contains(f.exempt("[10.1.0.0/16]"), "203.0.113.53/32"); got != tt.outside {
			t.Errorf("%s: outside: %t, want %t", name, got, tt.outside)
		}
		if n := strings.Count(log.String(), "outside of the tunnel: 203.0.113.53 (resolver)\""); n == 1 != tt.outside {
			t.Errorf("%s: it was said %d times: %s", name, n, log)
		}
		if n := strings.Count(log.String(), "resolver-unknown"); n != tt.warned {
			t.Errorf("%s: %d warnings, want %d: %s", name, n, tt.warned, log)
		}
	}
}

// The host's networks are exempt from full tunnels alone; its own kinds of full tunnels are found.
func TestHasFullTunnel(t *testing.T) {
	for _, tt := range []struct {
		remote, more string
		want         bool
	}{
		{`"0.0.0.0/0"`, "", true},
		{`"0.0.0.0/0"`, `routes = "none"`, false},
		{`"0.0.0.0/0"`, `routes = ["10.0.0.0/8"]`, false},
		{`"0.0.0.0/0"`, `routes = ["0.0.0.0/0"]`, true},
		{`"0.0.0.0/1"`, "", false},
		{`"0.0.0.0-255.255.255.254"`, "", false},
	} {
		d, _, _ := testDaemon(t, withChild(tt.remote, tt.more), nil)
		if got := hasFullTunnel(d.config()); got != tt.want {
			t.Errorf("%s %s: got %t", tt.remote, tt.more, got)
		}
	}
}
