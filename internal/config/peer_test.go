package config

import (
	"strings"
	"testing"
)

func TestBadPeer(t *testing.T) {
	testBad(t, map[string]bad{
		"no name":             {editPeer("name = \"right\"\n", ""), []string{`a.toml:1: peer 1: no name`}},
		"bad name":            {editPeer(`"right"`, `"a/b"`), []string{`a.toml:2: peer "a/b": name = "a/b"`}},
		"name with escape":    {editPeer(`"right"`, `"a\u001b[31m"`), []string{`name = "a\x1b[31m"`}},
		"bad address":         {editPeer(`"192.0.2.2"`, `"192.0.2.300"`), []string{`a.toml:3: peer "right": remote = "192.0.2.300" is neither an address nor a name`}},
		"network for address": {editPeer(`"192.0.2.2"`, `"192.0.2.0/24"`), []string{`is neither an address nor a name`}},
		"empty remote":        {editPeer(`"192.0.2.2"`, `""`), []string{`remote is empty`}},
		"unspecified remote":  {editPeer(`"192.0.2.2"`, `"0.0.0.0"`), []string{`cannot be the address of a host`}},
		"broadcast remote":    {editPeer(`"192.0.2.2"`, `"255.255.255.255"`), []string{`cannot be the address of a host`}},
		"bad local":           {editPeer(`name =`, "local = \"here\"\nname ="), []string{`a.toml:2: peer "right": local = "here" is no address`}},
		"families":            {editPeer(`name =`, "local = \"::1\"\nname ="), []string{`one is IPv4, the other IPv6`}},
		"ikev1":               {editPeer(`name =`, "ike = 1\nname ="), []string{`a.toml:2: peer "right": ike = 1 is not supported by this version of culvert`}},
		"ikev3":               {editPeer(`name =`, "ike = 3\nname ="), []string{`there are versions 1 and 2`}},
		"certificate":         {editPeer(`name =`, "cert = \"a\"\nkey = \"b\"\nca = [\"c\"]\nname ="), []string{`a.toml:2: peer "right": cert is not supported by this version`, `:3: peer "right": key is not`, `:4: peer "right": ca is not`}},
		"no local_id":         {editPeer("local_id = \"left.example.com\"\n", ""), []string{`a.toml:1: peer "right": no local_id`}},
		"no remote_id":        {editPeer("remote = \"192.0.2.2\"\n", "") + "", nil},
		"no remote nor id":    {edit(editPeer("remote = \"192.0.2.2\"\n", ""), "remote_id = \"right.example.com\"\n", ""), []string{`a.toml:1: peer "right": no remote_id`}},
		"bad identity":        {editPeer(`"left.example.com"`, `"CN="`), []string{`a.toml:4: peer "right": local_id: `}},
		"empty identity":      {editPeer(`"left.example.com"`, `""`), []string{`a.toml:4: peer "right": local_id: identity is empty`}},
		"pattern as our id":   {editPeer(`"left.example.com"`, `"*.example.com"`), []string{`local_id = "*.example.com" is a pattern`}},
		"ike proposal":        {editPeer(`name =`, "ike_proposals = [\"aes128gcm16-prfsha256-ecp256\", \"bad\"]\nname ="), []string{`a.toml:2: peer "right": ike_proposals: `}},
		"no ike proposal":     {editPeer(`name =`, "ike_proposals = []\nname ="), []string{`ike_proposals is empty`}},
		"dpd":                 {editPeer(`name =`, "dpd = \"-1s\"\nname ="), []string{`dpd = "-1s" is too short`}},
		"encap":               {editPeer(`name =`, "encap = \"yes\"\nname ="), []string{`encap = "yes" is none of auto, always, never`}},
		"dpd_action":          {editPeer(`name =`, "dpd_action = \"hold\"\nname ="), []string{`dpd_action = "hold" is none of restart, trap, clear`}},
		"port of nobody":      {editPeer(`remote = "192.0.2.2"`, "remote_nat_port = 500"), []string{`a.toml:3: peer "right": remote_nat_port is of no use without remote`}},
		"no port":             {editPeer(`name =`, "remote_ike_port = 0\nname ="), []string{`remote_ike_port = 0 is out of range`}},
		"per_cpu":             {editPeer(`name =`, "per_cpu = \"always\"\nname ="), []string{`per_cpu = "always" is none of auto, never`}},
		"fragment":            {editPeer(`name =`, "fragment = 100\nname ="), []string{`fragment = 100 is too small: 576 at least`}},
		"small peer mtu":      {editPeer(`name =`, "mtu = 575\nname ="), []string{`a.toml:2: peer "right": mtu = 575 is too small: 576 at least, or 0 for no ceiling`}},
		"no child":            {good[:strings.Index(good, "[[peer.child]]")], []string{`a.toml:1: peer "right": no [[peer.child]]`}},
		"child of wrong type": {good[:strings.Index(good, "[[peer.child]]")] + "child = 1\n", []string{`a.toml:7: peer "right": child must be an array of tables`}},
	})
}
