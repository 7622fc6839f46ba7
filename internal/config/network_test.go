package config

import (
	"net/netip"
	"testing"
)

func TestBadNetworks(t *testing.T) {
	testBad(t, map[string]bad{
		"bypass of no remote": {withDaemon("bypass = [\n\"10.2.3.0/24\",\n\"10.3.0.0/24\"]"), []string{`a.toml:4: daemon: bypass: 10.3.0.0/24 lies in no remote network and is outside the tunnels in any case; correct or remove it`}},
		"bypass of a whole":   {withDaemon(`bypass = ["10.2.0.0/16"]`), []string{`a.toml:2: daemon: bypass: 10.2.0.0/16 covers the whole of a remote network; remove that network from remote instead, or bypass only a part of it`}},
		"bypass around":       {withDaemon(`bypass = ["10.0.0.0/8"]`), []string{`a.toml:2: daemon: bypass: 10.0.0.0/8 covers the whole of a remote network`}},
		"bypass of nothing":   {withDaemon(`bypass = ["x"]`), []string{`a.toml:2: daemon: bypass: network "x": `}},
		"bypass of a port":    {withChild(`bypass = ["10.2.3.0/24 tcp/80"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.3.0/24 tcp/80: this key takes addresses only; omit the protocol and ports`}},
		"bypass twice":        {withChild(`bypass = ["10.2.3.0/24", "10.2.3.0-10.2.3.255"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.3.0/24 is listed twice; remove one`}},
		"child's bypass":      {withChild(`bypass = ["10.1.3.0/24"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.1.3.0/24 lies in no remote network of this child and is outside`}},
		"child's whole":       {withChild(`bypass = ["10.2.0.0/16"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.0.0/16 covers the whole of a remote network of this child`}},
		"whole of a range":    {edit(editPeer(`"10.2.0.0/16"`, `"10.2.0.1-10.2.0.4"`), "[[peer.child]]\n", "[[peer.child]]\nbypass = [\"10.2.0.0/29\"]\n"), []string{`a.toml:8: peer "right": child "child1": bypass: 10.2.0.0/29 covers the whole of a remote network`}},
		"multicast":           {editPeer(`"10.2.0.0/16"`, "\n\"10.2.0.0/16\",\n\"224.0.0.0/4\""), []string{`a.toml:11: peer "right": child "child1": remote: 224.0.0.0/4: tunnels do not carry multicast addresses; remove it`}},
		"local multicast":     {editPeer(`"10.1.0.0/16"`, `"10.1.0.0/16", "239.1.1.1-240.0.0.1"`), []string{`local: 239.1.1.1-240.0.0.1: tunnels do not carry multicast addresses`}},
		"broadcast":           {editPeer(`"10.2.0.0/16"`, `"10.2.0.0/16", "255.255.255.255"`), []string{`remote: 255.255.255.255/32: tunnels do not carry broadcast addresses`}},
		"unspecified":         {editPeer(`"10.2.0.0/16"`, `"0.0.0.0"`), []string{`remote: 0.0.0.0/32: tunnels do not carry unspecified addresses`}},
		"link-local":          {edit(editPeer(`"10.1.0.0/16"`, `"2001:db8::/64"`), `"10.2.0.0/16"`, `"fe80::/64", "ff0e::1"`), []string{`remote: fe80::/64: tunnels do not carry IPv6 link-local addresses`, `remote: ff0e::1/128: tunnels do not carry multicast addresses`}},
	})
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
