package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestBadPeer(t *testing.T) {
	testBad(t, map[string]bad{
		"no name":             {editPeer("name = \"right\"\n", ""), []string{`a.toml:1: peer 1: name is missing; give every peer one`}},
		"bad name":            {editPeer(`"right"`, `"a/b"`), []string{`a.toml:2: peer "a/b": name = "a/b"`}},
		"name with escape":    {editPeer(`"right"`, `"a\u001b[31m"`), []string{`name = "a\x1b[31m"`}},
		"bad address":         {editPeer(`"192.0.2.2"`, `"192.0.2.300"`), []string{`a.toml:3: peer "right": remote = "192.0.2.300" is neither an IP address nor a host name; use for example`}},
		"network for address": {editPeer(`"192.0.2.2"`, `"192.0.2.0/24"`), []string{`is neither an IP address nor a host name; use for example`}},
		"empty remote":        {editPeer(`"192.0.2.2"`, `""`), []string{`remote is empty; give an address or host name, or omit it`}},
		"unspecified remote":  {editPeer(`"192.0.2.2"`, `"0.0.0.0"`), []string{`is not a unicast address; use the address of the peer`}},
		"broadcast remote":    {editPeer(`"192.0.2.2"`, `"255.255.255.255"`), []string{`is not a unicast address; use the address of the peer`}},
		"bad local":           {editPeer(`name =`, "local = \"here\"\nname ="), []string{`a.toml:2: peer "right": local = "here" is not an IP address; use for example "192.0.2.1"`}},
		"families":            {editPeer(`name =`, "local = \"::1\"\nname ="), []string{`local = ::1 and remote = 192.0.2.2 belong to different IP versions`}},
		"ikev1":               {editPeer(`name =`, "ike = 1\nname ="), []string{`a.toml:2: peer "right": ike = 1 is not supported by this version of culvert`}},
		"ikev3":               {editPeer(`name =`, "ike = 3\nname ="), []string{`ike = 3 is not a version of IKE; use 2`}},
		"no local_id":         {editPeer("local_id = \"left.example.com\"\n", ""), []string{`a.toml:1: peer "right": local_id is missing; give the identity of this side`}},
		"no remote_id":        {editPeer("remote = \"192.0.2.2\"\n", "") + "", nil},
		"no remote nor id":    {edit(editPeer("remote = \"192.0.2.2\"\n", ""), "remote_id = \"right.example.com\"\n", "max_parties = 10\n"), nil},
		"any identity":        {edit(editPeer("remote = \"192.0.2.2\"\n", ""), "right.example.com", "*"), nil},
		"any as our id":       {editPeer(`"left.example.com"`, `"*"`), []string{`local_id = "*" is a pattern; give the identity of this side`}},
		"part of a DN":        {editPeer(`"right.example.com"`, `"CN=*, O=Example"`), nil},
		"part of our DN":      {editPeer(`"left.example.com"`, `"CN=*, O=Example"`), []string{`local_id = "CN=*, O=Example" is a pattern; give the identity of this side`}},
		"bad identity":        {editPeer(`"left.example.com"`, `"CN="`), []string{`a.toml:4: peer "right": local_id: `}},
		"empty identity":      {editPeer(`"left.example.com"`, `""`), []string{`a.toml:4: peer "right": local_id: identity is empty`}},
		"pattern as our id":   {editPeer(`"left.example.com"`, `"*.example.com"`), []string{`local_id = "*.example.com" is a pattern; give the identity of this side`}},
		"ike proposal":        {editPeer(`name =`, "ike_proposals = [\"aes128gcm16-prfsha256-ecp256\", \"bad\"]\nname ="), []string{`a.toml:2: peer "right": ike_proposals: `}},
		"no ike proposal":     {editPeer(`name =`, "ike_proposals = []\nname ="), []string{`ike_proposals is empty; list proposals, or omit it`}},
		"dpd":                 {editPeer(`name =`, "dpd = \"-1s\"\nname ="), []string{`dpd = "-1s" is too short`}},
		"childless":           {editPeer(`name =`, "childless = \"always\"\nname ="), []string{`childless = "always" is not valid; use one of allow, prefer, force, never`}},
		"childless of nobody": {editPeer(`remote = "192.0.2.2"`, "childless = \"prefer\""), []string{`a.toml:3: peer "right": childless = "prefer" has no effect on a peer that always initiates; omit it, or set remote`}},
		"never childless":     {editPeer(`remote = "192.0.2.2"`, "childless = \"never\""), nil},
		"encap":               {editPeer(`name =`, "encap = \"yes\"\nname ="), []string{`encap = "yes" is not valid: here it is "always"; the words are auto, always, never`}},
		"dpd_action":          {editPeer(`name =`, "dpd_action = \"hold\"\nname ="), []string{`dpd_action = "hold" is not valid: here it is "trap"; the words are restart, trap, clear`}},
		"port of nobody":      {editPeer(`remote = "192.0.2.2"`, "remote_nat_port = 500"), []string{`a.toml:3: peer "right": remote_nat_port has no effect without remote`}},
		"no port":             {editPeer(`name =`, "remote_ike_port = 0\nname ="), []string{`remote_ike_port = 0 is out of range`}},
		"per_cpu":             {editPeer(`name =`, "per_cpu = \"always\"\nname ="), []string{`per_cpu = "always" is not valid; use one of auto, never`}},
		"max_parties":         {editPeer(`name =`, "max_parties = 10\nname ="), []string{`a.toml:2: peer "right": max_parties has no effect on a single peer; omit it, or omit remote and give a pattern as remote_id`}},
		"no parties":          {edit(editPeer("remote = \"192.0.2.2\"\n", "remote_id = \"*.example.com\"\nmax_parties = 0\n"), "remote_id = \"right.example.com\"\n", ""), []string{`max_parties = 0 is out of range; use 1 to 100000`}},
		"parties":             {edit(editPeer("remote = \"192.0.2.2\"\n", "remote_id = \"*.example.com\"\nmax_parties = 10\n"), "remote_id = \"right.example.com\"\n", ""), nil},
		"fragment":            {editPeer(`name =`, "fragment = 100\nname ="), []string{`fragment = 100 is too small; use at least 576`}},
		"small peer mtu":      {editPeer(`name =`, "mtu = 575\nname ="), []string{`a.toml:2: peer "right": mtu = 575 is too small; use at least 576, or 0 for no ceiling`}},
		"no child":            {good[:strings.Index(good, "[[peer.child]]")], []string{`a.toml:1: peer "right": the peer has no [[peer.child]]; add one`}},
		"child of wrong type": {good[:strings.Index(good, "[[peer.child]]")] + "child = 1\n", []string{`a.toml:7: peer "right": child must be an array of tables`}},
	})
}

// TestTooManyChildren: a peer may have as many children as its IKE SA may have Child SAs.
func TestTooManyChildren(t *testing.T) {
	doc := func(n int) string {
		var b strings.Builder
		b.WriteString(good[:strings.Index(good, "[[peer.child]]")])
		for i := range n {
			fmt.Fprintf(&b, "[[peer.child]]\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.%d.%d.0/24\"]\n", 2+i>>8, i&255)
		}
		return b.String()
	}
	testBad(t, map[string]bad{
		"at the limit":    {doc(256), nil},
		"above the limit": {doc(257), []string{`a.toml:775: peer "right": child "child257": the peer has 257 children, more than the 256 Child SAs that one IKE SA may have; join their networks in fewer children`}},
	})
}
