package config

import (
	"strings"
	"testing"
)

// TestForeignKeys: keys of other programs are understood in errors, in the table that they stand
// in.
func TestForeignKeys(t *testing.T) {
	for name, want := range map[string]struct {
		keys []key
		want string
	}{
		"Endpoint": {peerKeys, "remote"}, "AllowedIPs": {childKeys, "remote"}, "PresharedKey": {peerKeys, "psk"}, "PersistentKeepalive": {peerKeys, "dpd"},
		"remote_addrs": {peerKeys, "remote"}, "remote-addrs": {peerKeys, "remote"}, "local_ts": {childKeys, "local"}, "proposals": {peerKeys, "ike_proposals"}, "esp_proposals": {childKeys, "proposals"},
		"rekey_time": {peerKeys, "ike_lifetime"}, "rightsubnet": {peerKeys, "remote"}, "leftid": {peerKeys, "local_id"}, "auto": {peerKeys, "child"}, "conn": {fileKeys, "peer"}, "srcid": {peerKeys, "local_id"},
		"childsa": {childKeys, "proposals"}, "nonsense": {peerKeys, ""}, "start_action": {fileKeys, ""}, "encap": {peerKeys, ""},
	} {
		if got := foreignKey(name, want.keys); got != want.want {
			t.Errorf("%s: %q, want %q", name, got, want.want)
		}
	}
	for name, list := range foreignKeys {
		if name != strings.ToLower(name) || strings.Contains(name, "-") {
			t.Errorf("%q is never found", name)
		}
		for _, meant := range list {
			known := false
			for _, keys := range [][]key{fileKeys, daemonKeys, peerKeys, childKeys} {
				_, ok := find(keys, meant)
				known = known || ok
			}
			if !known {
				t.Errorf("%s means %s, which is not a key", name, meant)
			}
		}
	}
}

func TestForeignWordsInErrors(t *testing.T) {
	testBad(t, map[string]bad{
		"a key of strongSwan": {editPeer("remote =", "remote_addrs ="), []string{`a.toml:3: peer "right": unknown key "remote_addrs": here it is "remote"`}},
		"a key of WireGuard":  {withChild(`AllowedIPs = ["10.0.0.0/8"]`), []string{`a.toml:10: peer "right": child "child1": unknown key "AllowedIPs": here it is "remote"`}},
		"a word of a start":   {withChild(`start = "trap"`), []string{`start = "trap" is not valid: here it is "traffic"; the words are traffic, boot, never`}},
		"another word":        {withChild(`start = "soonish"`), []string{`start = "soonish" is not valid; use one of traffic, boot, never`}},
		"a single table":      {edit(good, "[[peer]]", "[peer]"), []string{"a.toml:1: write [[peer]] in place of [peer]: there may be several"}},
		"text without quotes": {editPeer(`"192.0.2.2"`, `192.0.2.2`), []string{`a.toml:3: text needs quotes: remote = "192.0.2.2"`}},
	})
}

func TestUnquoted(t *testing.T) {
	for line, want := range map[string]string{
		`remote = 10.0.0.1`:         `text needs quotes: remote = "10.0.0.1"`,
		`  remote=a.example.com #x`: `text needs quotes: remote = "a.example.com"`,
		`psk = hunter2`:             `text needs quotes: psk = "..."`,
		`PresharedKey = hunter2=`:   "",
		`remote = "10.0.0.1`:        "", `remote = [10.0.0.1]`: "", `remote`: "", `remote = `: "",
	} {
		if got := unquoted(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestMetricsForEverybody: metrics on all addresses are warned of.
func TestMetricsForEverybody(t *testing.T) {
	for at, warned := range map[string]bool{":9155": true, "0.0.0.0:9155": true, "[::]:9155": true, "127.0.0.1:9155": false, "localhost:9155": false, "192.0.2.1:9155": false} {
		list := mustLoad(t, withDaemon(`metrics = "`+at+`"`)).Warnings
		if warned != (len(list) == 1) || warned && !strings.Contains(list[0].Error(), `a.toml:2: metrics = "`+at+`": whoever reaches any address of this host can read`) {
			t.Errorf("%s: %v", at, list)
		}
	}
}
