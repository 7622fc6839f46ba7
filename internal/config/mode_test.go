package config

import (
	"strings"
	"testing"

	"culvert/ike"
	"culvert/selector"
)

// hosts is a peer with a child in transport mode, with keys of the peer and of the child.
func hosts(peer, child string) string {
	return edit(editPeer("remote = \"192.0.2.2\"\n", peer), "local = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\n", "mode = \"transport\"\n"+child)
}

const bothOuter = "remote = \"192.0.2.2\"\nlocal = \"192.0.2.1\"\n"

func TestHosts(t *testing.T) {
	for name, tt := range map[string]struct{ peer, child, local, remote string }{
		"the outer addresses":      {bothOuter, "", "192.0.2.1/32", "192.0.2.2/32"},
		"protocols":                {bothOuter, "local = [\"192.0.2.1 udp/1701\", \"192.0.2.1 gre\"]\n", "192.0.2.1/32 udp/1701,192.0.2.1/32 gre", "192.0.2.2/32"},
		"of the child, local":      {"remote = \"192.0.2.2\"\n", "local = [\"192.0.2.7\"]\n", "192.0.2.7/32", "192.0.2.2/32"},
		"a peer that calls":        {"local = \"192.0.2.1\"\n", "remote = [\"198.51.100.7 tcp/179\"]\n", "192.0.2.1/32", "198.51.100.7/32 tcp/179"},
		"a peer by name, and IPv6": {"remote = \"hq.example.com\"\nlocal = \"2001:db8::1\"\n", "remote = [\"2001:db8::2\"]\n", "2001:db8::1/128", "2001:db8::2/128"},
	} {
		c, err := loadText(t, hosts(tt.peer, tt.child))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := c.Peers[0].Children[0]
		text := func(list []selector.Selector) string {
			var s []string
			for _, sel := range list {
				s = append(s, sel.String())
			}
			return strings.Join(s, ",")
		}
		if got.Mode != ike.ModeTransport || text(got.Local) != tt.local || text(got.Remote) != tt.remote {
			t.Errorf("%s: %v, %s with %s", name, got.Mode, text(got.Local), text(got.Remote))
		}
	}
	c, err := loadText(t, good)
	if err != nil || c.Peers[0].Children[0].Mode != ike.ModeTunnel {
		t.Errorf("without mode: %v, %v", c, err)
	}
	c, err = loadText(t, editManual("local = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\n", "mode = \"transport\"\nlocal = [\"192.0.2.1\"]\n"))
	if err != nil || !c.Peers[0].Manual[0].Transport {
		t.Errorf("manual keys: %v, %v", c, err)
	}
}

func TestBadHosts(t *testing.T) {
	testBad(t, map[string]bad{
		"unknown":            {withChild(`mode = "beet"`), []string{`mode = "beet" is not valid; use one of tunnel, transport`}},
		"no local":           {hosts("remote = \"192.0.2.2\"\n", ""), []string{`a.toml:8: peer "right": child "child1": mode = "transport" needs this host's address; set local in the peer to it, or local = ["192.0.2.1"] here`}},
		"no remote":          {hosts("local = \"192.0.2.1\"\n", ""), []string{`mode = "transport" needs the peer's address; set remote in the peer to it, or remote = `}},
		"a name":             {hosts("remote = \"hq.example.com\"\nlocal = \"192.0.2.1\"\n", ""), []string{`mode = "transport" needs the peer's address`}},
		"a network":          {hosts(bothOuter, "remote = [\"10.2.0.0/16\"]\n"), []string{`remote names more than one address, and mode = "transport" protects the two gateways themselves; give the peer's address alone, such as remote = ["192.0.2.1 udp/1701"], or use mode = "tunnel" for networks`}},
		"two addresses":      {hosts(bothOuter, "local = [\"192.0.2.1\", \"192.0.2.3\"]\n"), []string{`local names more than one address`}},
		"another remote":     {hosts(bothOuter, "remote = [\"192.0.2.9\"]\n"), []string{`remote = 192.0.2.9 is not the peer's address, which is 192.0.2.2; give that, or use mode = "tunnel"`}},
		"another local":      {hosts(bothOuter, "local = [\"192.0.2.9\"]\n"), []string{`local = 192.0.2.9 is not this host's address, which is 192.0.2.1`}},
		"an empty list":      {hosts(bothOuter, "local = []\n"), []string{`local has no networks`}},
		"per pair":           {hosts(bothOuter, "children = \"per-pair\"\n"), []string{`children = "per-pair" has no effect in transport mode, which has one pair of addresses; omit it`}},
		"bypass":             {hosts(bothOuter, "bypass = [\"192.0.2.2\"]\n"), []string{`bypass: 192.0.2.2/32 covers the whole of a remote network`}},
		"many parties":       {edit(hosts("local = \"192.0.2.1\"\n", "remote = [\"192.0.2.2\"]\n"), "right.example.com", "*.example.com"), []string{`a pattern as remote_id lets in many peers, and mode = "transport" of child "child1" is between two hosts; give the identity of one peer, or set remote`}},
		"families":           {hosts("remote = \"192.0.2.2\"\n", "local = [\"2001:db8::1\"]\n"), []string{`remote has IPv4 networks and local has none`, `local has IPv6 networks and remote has none`}},
		"two for the hosts":  {hosts(bothOuter, "") + "[[peer.child]]\nname = \"b\"\nmode = \"transport\"\n", []string{`remote 192.0.2.2/32 overlaps 192.0.2.2/32 of the child at`}},
		"beside and outside": {hosts(bothOuter, "") + "[[peer.child]]\nname = \"b\"\nlocal = [\"192.0.2.0/24\"]\nremote = [\"192.0.2.2\"]\n", []string{`remote 192.0.2.2/32 overlaps`}},
	})
}
