package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/ike/wire"
)

func TestBadChild(t *testing.T) {
	testBad(t, map[string]bad{
		"bad selector":        {editPeer(`"10.1.0.0/16"`, "\n  \"10.0.0.0/8\",\n  \"10.1.0.1/16\""), []string{`a.toml:10: peer "right": child "child1": local: selector "10.1.0.1/16"`}},
		"selector twice":      {editPeer(`"10.1.0.0/16"`, `"10.1.0.0/16", "10.1.0.0/16"`), []string{`local: 10.1.0.0/16 is listed twice; remove one`}},
		"no local":            {editPeer("local = [\"10.1.0.0/16\"]\n", ""), []string{`a.toml:7: peer "right": child "child1": local has no networks; list those on this side`}},
		"empty remote list":   {editPeer("remote = [\"10.2.0.0/16\"]\n", "remote = []\n"), []string{`a.toml:9: peer "right": child "child1": remote has no networks; list those on the peer's side`}},
		"families of child":   {editPeer(`"10.2.0.0/16"`, `"2001:db8::/64"`), []string{`local has IPv4 networks and remote has none, so no packet can match them; add some to remote, or remove them from local`, `remote has IPv6 networks and local has none`}},
		"start":               {withChild(`start = "now"`), []string{`start = "now" is not valid; use one of traffic, boot, never`}},
		"narrow":              {withChild(`narrow = "ours"`), []string{`narrow = "ours" is not valid; use one of traffic, peer`}},
		"start without peer":  {editPeer("remote = \"192.0.2.2\"\n", "") + "start = \"boot\"\n", []string{`a.toml:9: peer "right": child "child1": start = "boot" needs a remote address to initiate to; set remote in the peer`}},
		"child lifetime":      {withChild(`lifetime = { time = "soon" }`), []string{`a.toml:10: peer "right": child "child1": lifetime: time = "soon" is not a duration; use for example "8h"`}},
		"replay window":       {withChild(`replay_window = 100000`), []string{`replay_window = 100000 is out of range; use 0 to 65536`}},
		"esn":                 {withChild(`esn = "yes"`), []string{`esn = "yes" is not valid; use one of auto, always, never`}},
		"esn without window":  {withChild("esn = \"always\"\nreplay_window = 0"), []string{`a.toml:10: peer "right": child "child1": esn = "always" needs a replay window; set replay_window to 1 or more`}},
		"esp proposal":        {withChild(`proposals = ["bad"]`), []string{`a.toml:10: peer "right": child "child1": proposals: `}},
		"two names":           {good + "[[peer.child]]\nname = \"child1\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.7.0.0/16\"]\n", []string{`a.toml:11: peer "right": child "child1": name = "child1" is already used by another child of this peer; choose another name`}},
		"manual cipher":       {editManual("aes128gcm16", "aes"), []string{`a.toml:7: peer "m": child "child1": manual: cipher = "aes" is not a cipher for manual keys; use aes128gcm16`}},
		"manual key length":   {editManual("aes128gcm16", "aes256gcm16"), []string{`manual: key_out: the key has 20 octets; use 36`}},
		"manual key":          {editManual(`"0x00`, `"00`), []string{`manual: key_out: the key is not hexadecimal; use 0x`}},
		"manual spi":          {editManual(`"0x1001"`, `"0xff"`), []string{`manual: spi_out = "0xff" is not a usable SPI; use a number from 0x100`}},
		"manual half":         {editManual(`spi_out = "0x1001", `, ``), []string{`manual: spi_out and key_out must be given together; set both, or omit both`, "are both missing"}},
		"manual none":         {editManual(`spi_out = "0x1001", key_out = "0x0000000000000000000000000000000000000000", `, ``), []string{`manual: spi_out and spi_in are both missing; configure at least one direction`}},
		"manual without peer": {editManual("remote = \"192.0.2.2\"\n", ""), []string{`manual keys need an address to send to; set remote in the peer`}},
		"manual and ike":      {manualGood + "start = \"boot\"\n", []string{`a.toml:8: peer "m": child "child1": start has no effect on a child with manual keys; remove it`}},
	})
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

func TestManualChild(t *testing.T) {
	c := mustLoad(t, `
[[peer]]
name = "bench"
remote = "2001:db8::2"
  [[peer.child]]
  name = "both"
  local = ["10.1.0.0/16"]
  remote = ["10.2.0.0/16"]
  manual = { spi_out = "0x1001", key_out = "0x`+strings.Repeat("01", 20)+`", spi_in = "8193", key_in = "0x`+strings.Repeat("02", 20)+`", cipher = "aes128gcm16" }
  [[peer.child]]
  local = ["10.1.0.0/16"]
  remote = ["10.3.0.0/16"]
  esn = "always"
  manual = { spi_in = "0x2002", key_in = "0x`+strings.Repeat("03", 36)+`", cipher = "chacha20poly1305" }
`)
	p := c.Peers[0]
	if len(p.Children) != 0 || len(p.Manual) != 2 || !slices.Equal(p.Order, []string{"both", "child2"}) {
		t.Fatalf("got %d children, %d manual, order %v", len(p.Children), len(p.Manual), p.Order)
	}
	both, one := p.Manual[0], p.Manual[1]
	if both.SPIOut != 0x1001 || both.SPIIn != 0x2001 || both.Cipher != (esp.Cipher{ID: 20, KeyBits: 128}) || len(both.KeyOut) != 20 || both.KeyIn[0] != 2 || both.ESN || both.ReplayWindow != 0 {
		t.Errorf("both: got %+v", both)
	}
	if one.SPIOut != 0 || one.KeyOut != nil || one.SPIIn != 0x2002 || one.Cipher != (esp.Cipher{ID: 28, KeyBits: 256}) || !one.ESN || one.ReplayWindow != 4096 {
		t.Errorf("one way: got %+v", one)
	}
	if len(c.Warnings) != 2 {
		t.Errorf("got warnings %v, want one for each manual child", c.Warnings)
	}
}
