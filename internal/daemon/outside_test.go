package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"culvert/internal/host"
)

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
	for range 2 { // the second one is not news
		if _, err := d.Reload(context.Background(), forced); err != nil {
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
			if _, err := d.Reload(context.Background(), forced); err != nil {
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

// Only full tunnels exempt the host's networks; every form of a full tunnel is found.
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

// scene is a host with links and a resolver from the test.
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

// The daemon goes on where the kernel does not take a change of what is outside, and says so.
func TestOutsideThatTheKernelRefuses(t *testing.T) {
	d, f, log := testDaemon(t, withChild(`"0.0.0.0/0"`, ""), nil)
	s := &scene{view: host.View{Links: []host.Link{link("wan", "192.0.2.1/24")}}}
	s.on(d)
	d.routes = noRoutes{routes{f}}
	d.hostChanged()
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "event=outside-failed error=\"no routes here\"") {
		t.Errorf("%d warnings in %s", n, log)
	}
	d.routes = routes{f}
	s.view.Links = []host.Link{link("wan", "198.51.100.7/25")}
	if d.hostChanged(); strings.Count(log.String(), "level=WARN") != 1 {
		t.Errorf("a change that succeeded is warned about: %s", log)
	}
}
