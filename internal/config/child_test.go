package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/wire"
)

func TestBadChild(t *testing.T) {
	testBad(t, map[string]bad{
		"bad selector":       {editPeer(`"10.1.0.0/16"`, "\n  \"10.0.0.0/8\",\n  \"10.1.0.1/16\""), []string{`a.toml:10: peer "right": child "child1": local: selector "10.1.0.1/16"`}},
		"selector twice":     {editPeer(`"10.1.0.0/16"`, `"10.1.0.0/16", "10.1.0.0/16"`), []string{`local: 10.1.0.0/16 is listed twice; remove one`}},
		"no local":           {editPeer("local = [\"10.1.0.0/16\"]\n", ""), []string{`a.toml:7: peer "right": child "child1": local has no networks; list those on this side`}},
		"empty remote list":  {editPeer("remote = [\"10.2.0.0/16\"]\n", "remote = []\n"), []string{`a.toml:9: peer "right": child "child1": remote has no networks; list those on the peer's side`}},
		"families of child":  {editPeer(`"10.2.0.0/16"`, `"2001:db8::/64"`), []string{`local has IPv4 networks and remote has none, so no packet can match them; add some to remote, or remove them from local`, `remote has IPv6 networks and local has none`}},
		"start":              {withChild(`start = "now"`), []string{`start = "now" is not valid; use one of traffic, boot, never`}},
		"narrow":             {withChild(`narrow = "ours"`), []string{`narrow = "ours" is not valid; use one of traffic, peer`}},
		"start without peer": {editPeer("remote = \"192.0.2.2\"\n", "") + "start = \"boot\"\n", []string{`a.toml:9: peer "right": child "child1": start = "boot" needs a remote address to initiate to; set remote in the peer`}},
		"child lifetime":     {withChild(`lifetime = { time = "soon" }`), []string{`a.toml:10: peer "right": child "child1": lifetime: time = "soon" is not a duration; use for example "8h"`}},
		"replay window":      {withChild(`replay_window = 100000`), []string{`replay_window = 100000 is out of range; use 0 to 65536`}},
		"esn":                {withChild(`esn = "yes"`), []string{`esn = "yes" is not valid: here it is "always"; the words are auto, always, never`}},
		"esn without window": {withChild("esn = \"always\"\nreplay_window = 0"), []string{`a.toml:10: peer "right": child "child1": esn = "always" needs a replay window; set replay_window to 1 or more`}},
		"esp proposal":       {withChild(`proposals = ["bad"]`), []string{`a.toml:10: peer "right": child "child1": proposals: `}},
		"two names":          {good + "[[peer.child]]\nname = \"child1\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.7.0.0/16\"]\n", []string{`a.toml:11: peer "right": child "child1": name = "child1" is already used by another child of this peer; choose another name`}},
		"children":           {withChild(`children = "many"`), []string{`children = "many" is not valid; use one of one, per-pair`}},
		"too many pairs":     {manyNetworks(13, 5) + "children = \"per-pair\"\n", []string{`child "child1": children = "per-pair" makes 65 Child SAs of these networks; use at most 64 pairs, or divide them among several children`}},
		"manual and pairs":   {manualGood + "children = \"one\"\n", []string{`children has no effect on a child with manual keys; remove it`}},
	})
}

// manyNetworks is good with numbers of networks on each side.
func manyNetworks(local, remote int) string {
	list := func(side, n int) string {
		var nets []string
		for i := range n {
			nets = append(nets, fmt.Sprintf("\"10.%d.%d.0/24\"", side, i))
		}
		return strings.Join(nets, ", ")
	}
	return edit(editPeer(`"10.1.0.0/16"`, list(1, local)), `"10.2.0.0/16"`, list(2, remote))
}

// TestPerPairIsRead: 64 pairs of networks are allowed.
func TestPerPairIsRead(t *testing.T) {
	c, err := loadText(t, manyNetworks(8, 8)+"children = \"per-pair\"\n")
	if err != nil || c.Peers[0].Children[0].Children != ike.ChildrenPerPair {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestESNChoosesTransforms(t *testing.T) {
	explicit := loadProposals(t, left+`proposals = ["aes128gcm16-noesn", "aes128gcm16-esn", "aes256gcm16"]`)
	if got, want := explicit, "[[0] [1] [1 0]]"; fmt.Sprint(got) != want {
		t.Errorf("explicit: got ESN %v, want %v", got, want)
	}
	for _, tt := range []struct {
		keys string
		want []wire.TransformID
	}{
		{``, []wire.TransformID{wire.ESNYes, wire.ESNNo}},
		{`esn = "auto"`, []wire.TransformID{wire.ESNYes, wire.ESNNo}},
		{`esn = "always"`, []wire.TransformID{wire.ESNYes}},
		{`esn = "never"`, []wire.TransformID{wire.ESNNo}},
		{`replay_window = 0`, []wire.TransformID{wire.ESNNo}},
	} {
		for _, proposals := range []string{"", "\nproposals = [\"aes128gcm16\"]"} {
			for _, got := range loadProposals(t, left+tt.keys+proposals) {
				if !slices.Equal(got, tt.want) {
					t.Errorf("%q%q: got ESN %v, want %v", tt.keys, proposals, got, tt.want)
				}
			}
		}
	}
}

// loadProposals is the ESN transforms of each proposal of the first child.
func loadProposals(t *testing.T, doc string) [][]wire.TransformID {
	t.Helper()
	var out [][]wire.TransformID
	for _, p := range mustLoad(t, doc).Peers[0].Children[0].Proposals {
		var ids []wire.TransformID
		for _, tr := range p.Transforms {
			if tr.Type == wire.TransformESN {
				ids = append(ids, tr.ID)
			}
		}
		out = append(out, ids)
	}
	return out
}
