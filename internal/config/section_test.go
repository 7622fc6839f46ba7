package config

import "testing"

func TestBadSection(t *testing.T) {
	testBad(t, map[string]bad{
		"unknown key":        {editPeer("remote =", "remotee ="), []string{`a.toml:3: peer "right": unknown key "remotee": did you mean "remote"?`}},
		"unknown far key":    {editPeer("remote =", "zzzzzzzz ="), []string{`a.toml:3: peer "right": unknown key "zzzzzzzz"; the keys of this table are name, `}},
		"unknown table":      {good + "[peers]\n", []string{`a.toml:10: unknown key "peers": did you mean "peer"?`}},
		"unknown child key":  {withChild(`replay_windw = 3`), []string{`a.toml:10: peer "right": child "child1": unknown key "replay_windw": did you mean "replay_window"?`}},
		"unknown inline key": {withChild(`lifetime = { tme = "1h" }`), []string{`a.toml:10: peer "right": child "child1": lifetime: unknown key "tme": did you mean "time"?`}},
		"case of a key":      {editPeer("remote =", "Remote ="), []string{`unknown key "Remote": did you mean "remote"?`}},
		"peer as table":      {edit(good, "[[peer]]", "[peer]"), []string{"a.toml:1: write [[peer]] in place of [peer]: there may be several"}},
		"daemon as text":     {"daemon = \"x\"\n" + good, []string{"a.toml:1: daemon must be a table"}},
		"wrong type":         {editPeer(`remote = "192.0.2.2"`, `remote = 3`), []string{`a.toml:3: peer "right": remote must be text in quotes`}},
		"list as text":       {editPeer(`local = ["10.1.0.0/16"]`, `local = "10.1.0.0/16"`), []string{`a.toml:8: peer "right": child "child1": local must be a list of text`}},
		"list of numbers":    {editPeer(`local = ["10.1.0.0/16"]`, `local = [1]`), []string{`a.toml:8: peer "right": child "child1": local must be a list of text`}},
		"number as text":     {withDaemon(`workers = "2"`), []string{"a.toml:2: daemon: workers must be a number"}},
		"negative":           {withDaemon(`workers = -1`), []string{"a.toml:2: daemon: workers = -1 is out of range; use 0 to 256"}},
		"lifetime":           {editPeer(`name =`, "ike_lifetime = \"8\"\nname ="), []string{`ike_lifetime = "8" is not a duration; use for example "8h"`}},
		"short lifetime":     {editPeer(`name =`, "ike_lifetime = \"1ms\"\nname ="), []string{`is too short; use at least 1s`}},
		"long lifetime":      {editPeer(`name =`, "ike_lifetime = \"1000000h\"\nname ="), []string{`is too long`}},
		"zero lifetime":      {editPeer(`name =`, "ike_lifetime = \"0s\"\nname ="), []string{`is too short`}},
		"bytes":              {withChild(`lifetime = { bytes = "10 GX" }`), []string{`lifetime: bytes = "10 GX" is not an amount of data; use for example "500MB"`}},
		"too many bytes":     {withChild(`lifetime = { bytes = "99999999999TB" }`), []string{`is not an amount of data; use for example "500MB"`}},
		"packets":            {withChild(`lifetime = { packets = -1 }`), []string{`packets = -1 is out of range`}},
	})
}
