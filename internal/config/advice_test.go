package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culvert/internal/host"
)

// site is a gateway with a LAN, a second LAN, and a bridge with containers.
func site() *host.View {
	link := func(name string, bridge bool, addrs ...string) host.Link {
		return host.Link{Name: name, Bridge: bridge, Addrs: prefixes(addrs...)}
	}
	return &host.View{
		Routed: true, Default: []string{"wan"}, Forward4: true, Forward6: true,
		Routes: []host.Route{{Dst: netip.MustParsePrefix("10.7.0.0/16"), Link: "lan"}},
		Links: []host.Link{
			link("wan", false, "192.0.2.1/24", "2001:db8::1/64"), link("lan", false, "10.1.0.1/24", "fd01::1/64"), link("lan2", false, "10.5.0.1/24", "fd05::1/64"),
			link("docker0", true, "172.17.0.1/16", "fd17::1/64"), link("culvert0", false, "10.6.0.1/24"),
		},
	}
}

func advice(t *testing.T, doc string, h *host.View) []string {
	t.Helper()
	var out []string
	for _, err := range mustLoad(t, doc).Advise(h) {
		e := *err.(*Error)
		e.File = filepath.Base(e.File)
		out = append(out, e.Error())
	}
	return out
}

func TestAdvice(t *testing.T) {
	attached := `a.toml:8: peer "a": child "child1": remote 10.0.0.0/8 contains 10.5.0.0/24, a network attached to this host (lan2): packets for it go to the peer, so the local networks cannot reach its hosts; if this is not intended, add bypass = ["10.5.0.0/24"]`
	unreached := ` this host has no address in it and no route to it except the default route, by which packets from the tunnel would leave unprotected`
	for name, tt := range map[string]struct {
		localA, remoteA, localB, remoteB, more string
		want                                   []string
	}{
		"nothing":               {`"10.1.0.0/24"`, `"10.2.0.0/16"`, `"10.7.1.0/24"`, `"10.3.0.0/16"`, "", nil},
		"attached":              {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, "", []string{attached}},
		"attached, IPv6":        {`"fd01::/64"`, `"fd00::/8"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`, "", []string{`a.toml:8: peer "a": child "child1": remote fd00::/8 contains fd05::/64, a network attached to this host (lan2)`, `remote fd00::/8 contains fd17::/64`}},
		"attached, exactly":     {`"10.1.0.0/24"`, `"10.5.0.0/24"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`, "", []string{`remote 10.5.0.0/24 contains 10.5.0.0/24`}},
		"attached, a child's":   {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.5.0.0/25"`, `"172.31.0.0/24"`, "", nil},
		"attached, bypassed":    {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, `bypass = ["10.5.0.0/16"]`, nil},
		"attached, bypass part": {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, `bypass = ["10.5.0.0/25"]`, []string{attached}},
		"attached, not routed":  {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, `routes = "none"`, nil},
		"attached, routed part": {`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, `routes = ["10.2.0.0/16"]`, nil},
		"full tunnel":           {`"10.1.0.0/24"`, `"0.0.0.0/0"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`, "", nil},
		"unreached":             {`"10.8.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`, "", []string{`a.toml:7: peer "a": child "child1": local 10.8.0.0/16:` + unreached}},
		"unreached, once":       {`"10.8.0.0/16"`, `"10.2.0.0/16"`, `"10.8.0.0/16"`, `"10.3.0.0/16"`, "", []string{`local 10.8.0.0/16:` + unreached}},
		"unreached, IPv6":       {`"fd09::/64"`, `"fd02::/64"`, `"0.0.0.0/0"`, `"10.3.0.0/16"`, "", []string{`local fd09::/64:` + unreached}},
		"masqueraded":           {`"192.0.2.1"`, `"10.2.0.0/16"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`, "", []string{`a.toml:7: peer "a": child "child1": local contains only this host and not 172.17.0.0/16 (docker0): if its hosts are masqueraded to this host's address, their packets to 10.2.0.0/16 were routed before the translation, so no SA protects them`}},
		"masqueraded, IPv6":     {`"2001:db8::1"`, `"fd02::/64"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`, "", []string{`only this host and not fd17::/64 (docker0)`}},
		"containers' own child": {`"192.0.2.1"`, `"10.2.0.0/16"`, `"172.17.0.0/16"`, `"10.3.0.0/16"`, "", nil},
	} {
		doc := strings.Replace(twoChildren(tt.localA, tt.remoteA, tt.localB, tt.remoteB), "\n[[peer]]", "\n"+tt.more+"\n[[peer]]", 1)
		got := advice(t, doc, site())
		if !slices.EqualFunc(got, tt.want, strings.Contains) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, tt.want)
		}
	}
}

func TestAdviceOfBypassForAll(t *testing.T) {
	doc := twoChildren(`"10.1.0.0/24"`, `"10.0.0.0/8"`, `"10.1.0.0/24"`, `"172.31.0.0/24"`)
	if got := advice(t, "[daemon]\nbypass = [\"10.5.0.0/24\"]\n"+doc, site()); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	// The device of a daemon that runs is not attached to anything.
	if got := advice(t, "[daemon]\ntun = \"lan2\"\n"+doc, site()); len(got) != 1 || !strings.Contains(got[0], "contains 10.6.0.0/24") {
		t.Errorf("got %q", got)
	}
}

func TestAdviceWithoutForwarding(t *testing.T) {
	h := site()
	h.Forward4, h.Default = false, []string{"docker0"}
	doc := twoChildren(`"192.0.2.1", "2001:db8::1"`, `"10.2.0.0/16", "fd02::/64"`, `"10.1.0.0/24"`, `"10.3.0.0/16"`)
	if got := advice(t, doc, h); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestPeerWithinAnothersRemoteNetwork(t *testing.T) {
	peer := func(name, remote, network string) string {
		return "[[peer]]\nname = \"" + name + "\"\nremote = \"" + remote + "\"\nlocal_id = \"me\"\npsk = \"0123456789abcdef\"\n[[peer.child]]\nlocal = [\"10.1.0.0/24\", \"fd01::/64\"]\nremote = [\"" + network + "\", \"fd02::/16\"]\n"
	}
	other := strings.Replace(peer("b", "198.51.100.9", "10.3.0.0/16"), `, "fd02::/16"`, `, "fd03::/16"`, 1)
	want := `a.toml:11: peer "b": remote = 198.51.100.9 lies in 198.51.100.0/24, a remote network of peer "a": IKE and ESP are never sent through another tunnel; make 198.51.100.9 reachable outside the tunnels, or give the peer an address that is`
	for name, tt := range map[string]struct {
		doc  string
		want []string
	}{
		"in another's":    {peer("a", "192.0.2.2", "198.51.100.0/24") + other, []string{want}},
		"IPv6":            {peer("a", "192.0.2.2", "198.51.100.0/24") + strings.Replace(other, "198.51.100.9", "fd02::9", 1), []string{`a.toml:11: peer "b": remote = fd02::9 lies in fd02::/16`}},
		"in its own":      {peer("a", "198.51.100.1", "198.51.100.0/24"), nil},
		"in a full one":   {peer("a", "192.0.2.2", "0.0.0.0/0") + other, nil},
		"in one unrouted": {peer("a", "192.0.2.2", "198.51.100.0/24") + "routes = \"none\"\n" + other, nil},
		"in none":         {peer("a", "192.0.2.2", "198.51.101.0/24") + other, nil},
	} {
		if got := advice(t, tt.doc, site()); !slices.Equal(got, tt.want) && !(name == "IPv6" && slices.EqualFunc(got, tt.want, strings.Contains)) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, tt.want)
		}
	}
}
