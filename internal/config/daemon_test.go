package config

import (
	"strings"
	"testing"
)

func TestBadDaemon(t *testing.T) {
	testBad(t, map[string]bad{
		"negative spin":    {withDaemon(`spin_us = -1`), []string{"a.toml:2: daemon: spin_us = -1 is out of range; use 0 to 10000"}},
		"long spin":        {withDaemon(`spin_us = 10001`), []string{"spin_us = 10001 is out of range"}},
		"port 0":           {withDaemon(`ike_port = 0`), []string{"ike_port = 0 is out of range"}},
		"equal ports":      {withDaemon(`ike_port = 4500`), []string{"ike_port and nat_port are both 4500; use two different ports"}},
		"no DSCP":          {withDaemon(`ike_dscp = 64`), []string{"ike_dscp = 64 is out of range; use 0 to 63"}},
		"small mtu":        {withDaemon(`mtu = 100`), []string{"mtu = 100 is too small"}},
		"small mtu_min":    {withDaemon(`mtu_min = 60`), []string{"a.toml:2: daemon: mtu_min = 60 is out of range; use 68 to 65535"}},
		"fast path":        {withDaemon(`fast_path = "on"`), []string{`a.toml:2: daemon: fast_path = "on" is not valid; use one of auto, off`}},
		"offloads":         {withDaemon(`offloads = "gso"`), []string{`a.toml:2: daemon: offloads = "gso" is not valid; use one of auto, none`}},
		"guard":            {withDaemon(`guard = "on"`), []string{`a.toml:2: daemon: guard = "on" is not valid; use one of auto, require, off`}},
		"late rules":       {withDaemon(`rule_priority = 32701`), []string{`a.toml:2: daemon: rule_priority = 32701 is out of range; use 0 to 32700`}},
		"userspace":        {withDaemon(`tun = "userspace"`), []string{"a.toml:2: daemon: tun = \"userspace\" (no device) is not supported by this version"}},
		"long device name": {withDaemon(`tun = "abcdefghijklmnop"`), []string{"is not a device name; use 1 to 15 characters"}},
		"device name":      {withDaemon(`tun = "a/b"`), []string{"is not a device name; use 1 to 15 characters"}},
		"empty control":    {withDaemon(`control = ""`), []string{"control is empty"}},
		"relative state":   {withDaemon(`state = "lib"`), []string{"state = \"lib\" is not the absolute path of a directory; use for example \"/var/lib/culvert\""}},
		"crash_tokens":     {withDaemon(`crash_tokens = "on"`), []string{"crash_tokens"}},
		"long control":     {withDaemon(`control = "/` + strings.Repeat("x", 110) + `"`), []string{"control is too long for the path of a Unix socket; use at most 103 octets"}},
		"listen":           {withDaemon(`listen = ["0.0.0.0", "192.0.2.300"]`), []string{`a.toml:2: daemon: listen: "192.0.2.300" is not an IP address; use for example "192.0.2.1"`}},
		"listen twice":     {withDaemon(`listen = ["::", "::"]`), []string{"listen: :: is listed twice; remove one"}},
		"listen nowhere":   {withDaemon(`listen = []`), []string{"listen is empty"}},
		"listen multicast": {withDaemon(`listen = ["224.0.0.1"]`), []string{"listen: 224.0.0.1 is not an address to listen on; use a unicast"}},
		"log level":        {withDaemon(`log = "verbose"`), []string{`log = "verbose" is not valid; use one of info, error, warn, debug`}},
		"log format":       {withDaemon(`log_format = "xml"`), []string{`log_format = "xml" is not valid; use one of text, json`}},
		"metrics":          {withDaemon(`metrics = "9155"`), []string{`metrics = "9155" is not an address and port; use for example`}},
	})
}
