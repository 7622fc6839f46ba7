package config

import (
	"fmt"
	"strings"
	"testing"

	"culvert/ike"
)

// twoChildren are two peers with a child each.
func twoChildren(localA, remoteA, localB, remoteB string) string {
	peer := func(name, local, remote string) string {
		return fmt.Sprintf("[[peer]]\nname = %q\nremote = %q\nlocal_id = \"me\"\npsk = \"0123456789abcdef\"\n[[peer.child]]\nlocal = [%s]\nremote = [%s]\n",
			name, name+".example.com", local, remote)
	}
	return peer("a", localA, remoteA) + peer("b", localB, remoteB)
}

func TestOverlaps(t *testing.T) {
	for _, tt := range []struct {
		localA, remoteA, localB, remoteB string
		bad                              bool
	}{
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/16"`, `"10.3.0.0/16"`, false},
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/16"`, `"10.2.0.0/16"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.9.0.0/16"`, `"10.2.0.0/16"`, false}, // disjoint local networks
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.7.0/24"`, `"10.2.0.0/16"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/16"`, `"10.2.3.0/24"`, false}, // the longest prefix wins
		{`"10.1.0.0/16"`, `"10.2.3.0/24"`, `"10.1.0.0/16"`, `"0.0.0.0/0"`, false},
		{`"10.1.0.0/16"`, `"0.0.0.0/0"`, `"10.1.0.0/16"`, `"0.0.0.0/0"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0/16 tcp/443"`, `"10.1.0.0/16"`, `"10.2.0.0/16 tcp/80"`, false},
		{`"10.1.0.0/16"`, `"10.2.0.0/16 tcp/443"`, `"10.1.0.0/16"`, `"10.2.0.0/16 udp/443"`, false},
		{`"10.1.0.0/16"`, `"10.2.0.0/16 tcp/443"`, `"10.1.0.0/16"`, `"10.2.0.0/16"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0-10.2.0.9"`, `"10.1.0.0/16"`, `"10.2.0.5-10.2.0.20"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0-10.2.0.9"`, `"10.1.0.0/16"`, `"10.2.0.10-10.2.0.20"`, false},
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/16"`, `"10.2.0.5-10.2.0.20"`, false},
		{`"10.1.0.0/16"`, `"10.2.0.1-10.2.0.6"`, `"10.1.0.0/16"`, `"10.2.0.2-10.2.0.5"`, true}, // both have 10.2.0.2/31
		{`"10.1.0.0/16"`, `"10.5.0.0/16", "10.2.0.0/16"`, `"10.1.0.0/16"`, `"10.7.0.0/16", "10.2.0.0/16"`, true},
		{`"10.1.0.0/16", "::/0"`, `"10.2.0.0/16", "2001:db8::/32"`, `"::/0"`, `"2001:db8::/32"`, true},
		{`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"2001:db8:1::/64"`, `"2001:db8:2::/64"`, false},
	} {
		doc := twoChildren(tt.localA, tt.remoteA, tt.localB, tt.remoteB)
		for _, turned := range []bool{false, true} {
			if turned {
				doc = twoChildren(tt.localB, tt.remoteB, tt.localA, tt.remoteA)
			}
			_, err := loadText(t, doc)
			got := texts(err)
			switch {
			case !tt.bad && err != nil:
				t.Errorf("%v: got %v, want no error", tt, err)
			case tt.bad && (len(got) != 1 || !strings.HasPrefix(got[0], `a.toml:16: peer "b": child "child1": remote `) || !strings.Contains(got[0], "a.toml:8")):
				t.Errorf("%v: got %q, want one overlap at line 16 with line 8", tt, got)
			}
		}
	}
}

func TestOverlapWithinAPeerIsFoundToo(t *testing.T) {
	_, err := loadText(t, good+"[[peer.child]]\nname = \"x\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\n \"10.2.0.0/16\"]\n")
	if got := texts(err); len(got) != 1 || !strings.HasPrefix(got[0], `a.toml:13: peer "right": child "x": remote 10.2.0.0/16 overlaps 10.2.0.0/16`) {
		t.Errorf("got %q, want an overlap", got)
	}
}

// Children with the same networks are allowed where the priorities tell which one stands by.
func TestPriorities(t *testing.T) {
	// with gives the two peers priorities; 0 is none.
	with := func(a, b int, doc string) string {
		for name, n := range map[string]int{"a": a, "b": b} {
			if n > 0 {
				doc = edit(doc, fmt.Sprintf("name = %q\n", name), fmt.Sprintf("name = %q\npriority = %d\n", name, n))
			}
		}
		return doc
	}
	const one, two = `"10.1.0.0/16", "2001:db8:1::/64"`, `"0.0.0.0/0", "::/0"`
	const turned = `"::/0", "0.0.0.0/0"`
	for name, c := range map[string]struct {
		doc  string
		want []string // in the only error; nil: there is none
	}{
		"distinct":          {with(1, 2, twoChildren(one, two, one, two)), nil},
		"in another order":  {with(1, 2, twoChildren(one, two, one, turned)), nil},
		"the same":          {with(1, 1, twoChildren(one, two, one, two)), []string{`a.toml:18: peer "b": child "child1": remote 0.0.0.0/0 overlaps `, "a.toml:9", "priority = 1 in one, priority = 2 in the other"}},
		"only one":          {with(1, 0, twoChildren(one, two, one, two)), []string{`a.toml:17: `, "a.toml:9", "priority = 1 in one, priority = 2 in the other"}},
		"none":              {twoChildren(one, two, one, two), []string{`a.toml:16: `, "a.toml:8", "priority = 1 in one"}},
		"a part":            {with(1, 2, twoChildren(one, two, `"10.1.0.0/16"`, `"0.0.0.0/0"`)), []string{`a.toml:18: `, "a.toml:9", "exactly the same networks"}},
		"other locals":      {with(1, 2, twoChildren(`"10.1.0.0/16"`, `"10.2.0.0/16"`, `"10.1.0.0/16", "10.3.0.0/16"`, `"10.2.0.0/16"`)), []string{`a.toml:18: `, "exactly the same networks"}},
		"another bypass":    {with(1, 2, twoChildren(one, two, one, two)) + "bypass = [\"10.9.0.0/16\"]\n", []string{`a.toml:19: peer "b": child "child1": bypass differs from that of the child at `, "a.toml:9"}},
		"the same bypass":   {strings.ReplaceAll(with(1, 2, twoChildren(one, two, one, two)), "remote = ["+two+"]", "remote = ["+two+"]\nbypass = [\"10.9.0.0/16\"]"), nil},
		"many parties":      {edit(editPeer("remote = \"192.0.2.2\"\n", "priority = 1\n"), `"right.example.com"`, `"*.example.com"`), []string{`a.toml:3: peer "right": priority has no effect on a peer with many parties`}},
		"manual":            {editManual("name = \"m\"", "name = \"m\"\npriority = 1"), []string{`a.toml:3: peer "m": priority has no effect on manual keys`}},
		"too large":         {editPeer("name =", "priority = 65536\nname ="), []string{`a.toml:2: peer "right": priority = 65536`}},
		"within one peer":   {editPeer("name =", "priority = 1\nname =") + "[[peer.child]]\nname = \"x\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\n", []string{`child "x": remote 10.2.0.0/16 overlaps`}},
		"with a manual one": {editPeer("name =", "priority = 1\nname =") + edit(manualGood, `"192.0.2.2"`, `"192.0.2.3"`), []string{`peer "m": child "child1": remote 10.2.0.0/16 overlaps`}},
	} {
		_, err := loadText(t, c.doc)
		got := texts(err)
		if (err == nil) != (c.want == nil) || len(got) > 1 && c.want != nil {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(got[0], w) {
				t.Errorf("%s: got %q, want %q", name, got, w)
			}
		}
	}
}

func TestManyPeersAreCheckedFast(t *testing.T) {
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "[[peer]]\nname = \"p%d\"\nremote = \"p%d.example.com\"\nlocal_id = \"me\"\npsk = \"0123456789abcdef\"\n[[peer.child]]\nlocal = [\"0.0.0.0/0\"]\nremote = [\"10.%d.%d.0/24\"]\n",
			i, i, i>>8, i&255)
	}
	c := mustLoad(t, b.String())
	if len(c.Peers) != 20000 {
		t.Errorf("got %d peers", len(c.Peers))
	}
}

func TestDuplicates(t *testing.T) {
	for name, tt := range map[string]struct{ doc, want string }{
		"name":     {good + peerFile("right", "3"), `a.toml:11: peer "right": name = "right" is already used by the peer at `},
		"identity": {good + strings.Replace(peerFile("right", "2"), `"right"`, `"b"`, 1), `a.toml:14: peer "b": remote, local_id, remote_id and psk are those of the peer at `},
		"manual SPI": {`[[peer]]
name = "a"
remote = "192.0.2.2"
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
manual = { spi_in = "0x1001", key_in = "0x0000000000000000000000000000000000000000", cipher = "aes128gcm16" }
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
manual = { spi_in = "4097", key_in = "0x0000000000000000000000000000000000000000", cipher = "aes128gcm16" }
`, `a.toml:11: peer "a": child "child2": spi_in = 0x1001 is already used by the child at `},
	} {
		_, err := loadText(t, tt.doc)
		if got := texts(err); len(got) == 0 || !strings.HasPrefix(got[0], tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestPeersToldApartBySecret: two peers may have the same identities and different secrets, and no
// more than are tried.
func TestPeersToldApartBySecret(t *testing.T) {
	peers := func(secrets ...string) string {
		var b strings.Builder
		for i, s := range secrets {
			doc := strings.ReplaceAll(peerFile(fmt.Sprint("p", i), "9"), fmt.Sprintf("p%d.example.com", i), "right.example.com")
			b.WriteString(strings.NewReplacer("10.2.", fmt.Sprintf("10.%d.", 100+i), "10.9.", fmt.Sprintf("10.%d.", 100+i), `"correct horse battery staple"`, s).Replace(doc))
		}
		return b.String()
	}
	secret := func(n int) string { return fmt.Sprintf("%q", fmt.Sprintf("a secret of its own %02d", n)) }
	var many []string
	for n := range ike.MaxCandidates + 1 {
		many = append(many, secret(n))
	}
	testBad(t, map[string]bad{
		"different":         {peers(secret(1), secret(2)), nil},
		"the same":          {peers(secret(1), secret(2), secret(1)), []string{`peer "p2": remote, local_id, remote_id and psk are those of the peer at `}},
		"one of several":    {peers("["+secret(1)+", "+secret(2)+"]", "["+secret(3)+", "+secret(2)+"]"), []string{`peer "p1": remote, local_id, remote_id and psk are`}},
		"as many as tried":  {peers(many[1:]...), nil},
		"more than tried":   {peers(many...), []string{`peer "p8": remote, local_id and remote_id are those of 8 other peers as well, and a caller is tried as 8 peers at most; give each a remote_id of its own`}},
		"any, and a secret": {strings.NewReplacer("remote = \"192.0.2.9\"\n", "", "right.example.com", "*").Replace(peers(secret(1), secret(2))), nil},
	})
}

func TestBadCheck(t *testing.T) {
	testBad(t, map[string]bad{
		"mtu with IPv6":      {"[daemon]\nmtu = 1279\n" + edit(editPeer(`"10.1.0.0/16"`, `"2001:db8:1::/64"`), `"10.2.0.0/16"`, `"2001:db8:2::/64"`), []string{`a.toml:2: daemon: mtu = 1279 is too small for the IPv6 networks of peer "right"; use at least 1280`}},
		"peer mtu with IPv6": {edit(edit(editPeer(`name =`, "mtu = 1279\nname ="), `"10.1.0.0/16"`, `"2001:db8:1::/64"`), `"10.2.0.0/16"`, `"2001:db8:2::/64"`), []string{`a.toml:2: peer "right": mtu = 1279 is too small for the IPv6 networks of a child; use at least 1280, or`}},
		"local not listened": {"[daemon]\nlisten = [\"192.0.2.9\"]\n" + editPeer(`name =`, "local = \"192.0.2.1\"\nname ="), []string{`a.toml:4: peer "right": local = 192.0.2.1 is not covered by listen in [daemon]`}},
	})
}
