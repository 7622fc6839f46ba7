package config

import (
	"slices"
	"strings"
	"testing"
)

// good is the least valid peer, on lines 1 to 8; bad.edit changes it.
const good = `[[peer]]
name = "right"
remote = "192.0.2.2"
local_id = "left.example.com"
remote_id = "right.example.com"
psk = "correct horse battery staple"
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
`

const manualGood = `[[peer]]
name = "m"
remote = "192.0.2.2"
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
manual = { spi_out = "0x1001", key_out = "0x0000000000000000000000000000000000000000", cipher = "aes128gcm16" }
`

func TestBad(t *testing.T) {
	sub := func(doc, from, to string) string {
		if !strings.Contains(doc, from) {
			t.Fatalf("%q is not in the document", from)
		}
		return strings.Replace(doc, from, to, 1)
	}
	peer := func(from, to string) string { return sub(good, from, to) }
	manual := func(from, to string) string { return sub(manualGood, from, to) }
	daemon := func(key string) string { return "[daemon]\n" + key + "\n" + good }
	child := func(key string) string { return good + key + "\n" }

	for name, tt := range map[string]struct {
		doc  string
		want []string // a part of each error, in order
	}{
		"syntax":              {"[[peer] # x", []string{"a.toml:1: "}},
		"syntax later":        {good + "x = = 1", []string{"a.toml:10: "}},
		"key twice":           {peer(`remote = "192.0.2.2"`, "remote = \"192.0.2.2\"\nremote = \"192.0.2.3\""), []string{"a.toml:4: "}},
		"unknown key":         {peer("remote =", "remotee ="), []string{`a.toml:3: peer "right": unknown key "remotee": did you mean "remote"?`}},
		"unknown far key":     {peer("remote =", "zzzzzzzz ="), []string{`a.toml:3: peer "right": unknown key "zzzzzzzz": known here are name, `}},
		"unknown table":       {good + "[peers]\n", []string{`a.toml:10: unknown key "peers": did you mean "peer"?`}},
		"unknown child key":   {child(`replay_windw = 3`), []string{`a.toml:10: peer "right": child "child1": unknown key "replay_windw": did you mean "replay_window"?`}},
		"unknown inline key":  {child(`lifetime = { tme = "1h" }`), []string{`a.toml:10: peer "right": child "child1": lifetime: unknown key "tme": did you mean "time"?`}},
		"case of a key":       {peer("remote =", "Remote ="), []string{`unknown key "Remote": did you mean "remote"?`}},
		"peer as table":       {sub(good, "[[peer]]", "[peer]"), []string{"a.toml:1: peer must be an array of tables"}},
		"daemon as text":      {"daemon = \"x\"\n" + good, []string{"a.toml:1: daemon must be a table"}},
		"wrong type":          {peer(`remote = "192.0.2.2"`, `remote = 3`), []string{`a.toml:3: peer "right": remote must be text in quotes`}},
		"list as text":        {peer(`local = ["10.1.0.0/16"]`, `local = "10.1.0.0/16"`), []string{`a.toml:8: peer "right": child "child1": local must be a list of text`}},
		"list of numbers":     {peer(`local = ["10.1.0.0/16"]`, `local = [1]`), []string{`a.toml:8: peer "right": child "child1": local must be a list of text`}},
		"number as text":      {daemon(`workers = "2"`), []string{"a.toml:2: daemon: workers must be a number"}},
		"negative":            {daemon(`workers = -1`), []string{"a.toml:2: daemon: workers = -1 is out of range: 0 to 256"}},
		"negative spin":       {daemon(`spin_us = -1`), []string{"a.toml:2: daemon: spin_us = -1 is out of range: 0 to 10000"}},
		"long spin":           {daemon(`spin_us = 10001`), []string{"spin_us = 10001 is out of range"}},
		"port 0":              {daemon(`ike_port = 0`), []string{"ike_port = 0 is out of range"}},
		"equal ports":         {daemon(`ike_port = 4500`), []string{"ike_port and nat_port are both 4500"}},
		"no DSCP":             {daemon(`ike_dscp = 64`), []string{"ike_dscp = 64 is out of range: 0 to 63"}},
		"small mtu":           {daemon(`mtu = 100`), []string{"mtu = 100 is too small"}},
		"small mtu_min":       {daemon(`mtu_min = 60`), []string{"a.toml:2: daemon: mtu_min = 60 is out of range: 68 to 65535"}},
		"mtu with IPv6":       {"[daemon]\nmtu = 1279\n" + sub(peer(`"10.1.0.0/16"`, `"2001:db8:1::/64"`), `"10.2.0.0/16"`, `"2001:db8:2::/64"`), []string{`a.toml:2: daemon: mtu = 1279, but peer "right" has IPv6 networks, and IPv6 needs 1280: raise it`}},
		"offloads":            {daemon(`offloads = "gso"`), []string{`a.toml:2: daemon: offloads = "gso" is none of auto, none`}},
		"guard":               {daemon(`guard = "on"`), []string{`a.toml:2: daemon: guard = "on" is none of auto, require, off`}},
		"mark of no bit":      {daemon(`mark = "0x0/0x60"`), []string{`a.toml:2: daemon: mark = "0x0/0x60": the value has no bit, and so do all other packets; set one of the mask's, as in "0x20/0x60"`}},
		"mark past its mask":  {daemon(`mark = "0x30/0x60"`), []string{`a.toml:2: daemon: mark = "0x30/0x60": the mask lacks the value's bits 0x10`}},
		"mark of digits":      {daemon(`mark = "32/96"`), []string{`a.toml:2: daemon: mark = "32/96" must be a value and a mask in hexadecimal, such as "0x20/0x60"`}},
		"mark without mask":   {daemon(`mark = "0x20"`), []string{`a.toml:2: daemon: mark = "0x20" must be a value and a mask in hexadecimal`}},
		"mark too long":       {daemon(`mark = "0x100000000/0x100000000"`), []string{`a.toml:2: daemon: mark = "0x100000000/0x100000000" must be`}},
		"named table":         {daemon(`route_table = 254`), []string{`a.toml:2: daemon: route_table = 254 belongs to the system or may have a name: choose 256 or higher`}},
		"negative table":      {daemon(`route_table = -1`), []string{`a.toml:2: daemon: route_table = -1 is out of range`}},
		"late rules":          {daemon(`rule_priority = 32701`), []string{`a.toml:2: daemon: rule_priority = 32701 is out of range: 0 to 32700`}},
		"bypass of no remote": {daemon("bypass = [\n\"10.2.3.0/24\",\n\"10.3.0.0/24\"]"), []string{`a.toml:4: daemon: bypass: 10.3.0.0/24 lies outside of every remote network, and so outside of the tunnels anyway: remove it, or correct it`}},
		"bypass of a whole":   {daemon(`bypass = ["10.2.0.0/16"]`), []string{`a.toml:2: daemon: bypass: 10.2.0.0/16 leaves nothing of a remote network: take that network out of remote instead, or bypass a part of it`}},
		"bypass around":       {daemon(`bypass = ["10.0.0.0/8"]`), []string{`a.toml:2: daemon: bypass: 10.0.0.0/8 leaves nothing of a remote network`}},
		"bypass of nothing":   {daemon(`bypass = ["x"]`), []string{`a.toml:2: daemon: bypass: network "x": `}},
		"bypass of a port":    {child(`bypass = ["10.2.3.0/24 tcp/80"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.3.0/24 tcp/80: only addresses count here; omit the protocol and ports`}},
		"bypass twice":        {child(`bypass = ["10.2.3.0/24", "10.2.3.0-10.2.3.255"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.3.0/24 is there twice`}},
		"child's bypass":      {child(`bypass = ["10.1.3.0/24"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.1.3.0/24 lies outside of every remote network of this child`}},
		"child's whole":       {child(`bypass = ["10.2.0.0/16"]`), []string{`a.toml:10: peer "right": child "child1": bypass: 10.2.0.0/16 leaves nothing of a remote network of this child`}},
		"whole of a range":    {sub(peer(`"10.2.0.0/16"`, `"10.2.0.1-10.2.0.4"`), "[[peer.child]]\n", "[[peer.child]]\nbypass = [\"10.2.0.0/29\"]\n"), []string{`a.toml:8: peer "right": child "child1": bypass: 10.2.0.0/29 leaves nothing of a remote network`}},
		"routes":              {child(`routes = "some"`), []string{`a.toml:10: peer "right": child "child1": routes = "some" is none of auto, none`}},
		"number of routes":    {child(`routes = 1`), []string{`a.toml:10: peer "right": child "child1": routes must be text in quotes or a list of text`}},
		"empty routes":        {child(`routes = []`), []string{`a.toml:10: peer "right": child "child1": routes is empty: write routes = "none" to route nothing`}},
		"routes outside":      {child("routes = [\n\"10.2.1.0/24\",\n\"10.0.0.0/8\"]"), []string{`a.toml:12: peer "right": child "child1": routes: 10.0.0.0/8 is not within a remote network of this child`}},
		"routes and bypass":   {child("routes = [\"10.2.1.0/24\"]\nbypass = [\"10.2.1.0/24\"]"), []string{`a.toml:10: peer "right": child "child1": routes: 10.2.1.0/24 is in bypass as well: remove it from one of them`}},
		"bypass of no routes": {child("routes = \"none\"\nbypass = [\"10.2.1.0/24\"]"), []string{`a.toml:11: peer "right": child "child1": bypass means nothing with routes = "none"`}},
		"multicast":           {peer(`"10.2.0.0/16"`, "\n\"10.2.0.0/16\",\n\"224.0.0.0/4\""), []string{`a.toml:11: peer "right": child "child1": remote: 224.0.0.0/4: tunnels do not carry multicast addresses: remove it`}},
		"local multicast":     {peer(`"10.1.0.0/16"`, `"10.1.0.0/16", "239.1.1.1-240.0.0.1"`), []string{`local: 239.1.1.1-240.0.0.1: tunnels do not carry multicast addresses`}},
		"broadcast":           {peer(`"10.2.0.0/16"`, `"10.2.0.0/16", "255.255.255.255"`), []string{`remote: 255.255.255.255/32: tunnels do not carry broadcast addresses`}},
		"unspecified":         {peer(`"10.2.0.0/16"`, `"0.0.0.0"`), []string{`remote: 0.0.0.0/32: tunnels do not carry unspecified addresses`}},
		"link-local":          {sub(peer(`"10.1.0.0/16"`, `"2001:db8::/64"`), `"10.2.0.0/16"`, `"fe80::/64", "ff0e::1"`), []string{`remote: fe80::/64: tunnels do not carry IPv6 link-local addresses`, `remote: ff0e::1/128: tunnels do not carry multicast addresses`}},
		"userspace":           {daemon(`tun = "userspace"`), []string{"a.toml:2: daemon: tun = \"userspace\", the mode without a device, is not supported by this version"}},
		"long device name":    {daemon(`tun = "abcdefghijklmnop"`), []string{"is no device name"}},
		"device name":         {daemon(`tun = "a/b"`), []string{"is no device name"}},
		"empty control":       {daemon(`control = ""`), []string{"control is empty"}},
		"long control":        {daemon(`control = "/` + strings.Repeat("x", 110) + `"`), []string{"too long for a Unix socket"}},
		"listen":              {daemon(`listen = ["0.0.0.0", "192.0.2.300"]`), []string{`a.toml:2: daemon: listen: "192.0.2.300" is no address`}},
		"listen twice":        {daemon(`listen = ["::", "::"]`), []string{"listen: :: is there twice"}},
		"listen nowhere":      {daemon(`listen = []`), []string{"listen is empty"}},
		"listen multicast":    {daemon(`listen = ["224.0.0.1"]`), []string{"cannot be listened on"}},
		"log level":           {daemon(`log = "verbose"`), []string{`log = "verbose" is none of info, error, warn, debug`}},
		"log format":          {daemon(`log_format = "xml"`), []string{`log_format = "xml" is none of text, json`}},
		"metrics":             {daemon(`metrics = "9155"`), []string{`metrics = "9155" is no address and port`}},
		"include of no file":  {daemon(`include = "other.toml"`), []string{"a.toml:2: daemon: include: other.toml: no such file"}},
		"include pattern":     {daemon(`include = "["`), []string{"is no pattern of file names"}},
		"no name":             {peer("name = \"right\"\n", ""), []string{`a.toml:1: peer 1: no name`}},
		"bad name":            {peer(`"right"`, `"a/b"`), []string{`a.toml:2: peer "a/b": name = "a/b"`}},
		"name with escape":    {peer(`"right"`, `"a\u001b[31m"`), []string{`name = "a\x1b[31m"`}},
		"bad address":         {peer(`"192.0.2.2"`, `"192.0.2.300"`), []string{`a.toml:3: peer "right": remote = "192.0.2.300" is neither an address nor a name`}},
		"network for address": {peer(`"192.0.2.2"`, `"192.0.2.0/24"`), []string{`is neither an address nor a name`}},
		"empty remote":        {peer(`"192.0.2.2"`, `""`), []string{`remote is empty`}},
		"unspecified remote":  {peer(`"192.0.2.2"`, `"0.0.0.0"`), []string{`cannot be the address of a host`}},
		"broadcast remote":    {peer(`"192.0.2.2"`, `"255.255.255.255"`), []string{`cannot be the address of a host`}},
		"bad local":           {peer(`name =`, "local = \"here\"\nname ="), []string{`a.toml:2: peer "right": local = "here" is no address`}},
		"families":            {peer(`name =`, "local = \"::1\"\nname ="), []string{`one is IPv4, the other IPv6`}},
		"local not listened":  {"[daemon]\nlisten = [\"192.0.2.9\"]\n" + peer(`name =`, "local = \"192.0.2.1\"\nname ="), []string{`a.toml:4: peer "right": local = 192.0.2.1 is not among the addresses of listen`}},
		"ikev1":               {peer(`name =`, "ike = 1\nname ="), []string{`a.toml:2: peer "right": ike = 1 is not supported by this version of culvert`}},
		"ikev3":               {peer(`name =`, "ike = 3\nname ="), []string{`there are versions 1 and 2`}},
		"certificate":         {peer(`name =`, "cert = \"a\"\nkey = \"b\"\nca = [\"c\"]\nname ="), []string{`a.toml:2: peer "right": cert is not supported by this version`, `:3: peer "right": key is not`, `:4: peer "right": ca is not`}},
		"no local_id":         {peer("local_id = \"left.example.com\"\n", ""), []string{`a.toml:1: peer "right": no local_id`}},
		"no remote_id":        {peer("remote = \"192.0.2.2\"\n", "") + "", nil},
		"no remote nor id":    {sub(peer("remote = \"192.0.2.2\"\n", ""), "remote_id = \"right.example.com\"\n", ""), []string{`a.toml:1: peer "right": no remote_id`}},
		"bad identity":        {peer(`"left.example.com"`, `"CN="`), []string{`a.toml:4: peer "right": local_id: `}},
		"empty identity":      {peer(`"left.example.com"`, `""`), []string{`a.toml:4: peer "right": local_id: identity is empty`}},
		"pattern as our id":   {peer(`"left.example.com"`, `"*.example.com"`), []string{`local_id = "*.example.com" is a pattern`}},
		"no psk":              {peer("psk = \"correct horse battery staple\"\n", ""), []string{`a.toml:1: peer "right": no psk`}},
		"empty psk":           {peer(`"correct horse battery staple"`, `""`), []string{`a.toml:6: peer "right": psk: the secret is empty`}},
		"bad hex":             {peer(`"correct horse battery staple"`, `"0xsecret"`), []string{`psk: what follows 0x is not`}},
		"bad base64":          {peer(`"correct horse battery staple"`, `"0s***"`), []string{`psk: what follows 0s is not base64`}},
		"two secrets":         {peer(`psk =`, "psk_file = \"x\"\npsk ="), []string{`a.toml:6: peer "right": psk and psk_file`}},
		"no secret file":      {peer(`psk = "correct horse battery staple"`, `psk_file = "none.psk"`), []string{`none.psk: no such file`}},
		"empty secret file":   {peer(`psk = "correct horse battery staple"`, `psk_file = ""`), []string{`psk_file is empty`}},
		"ike proposal":        {peer(`name =`, "ike_proposals = [\"aes128gcm16-prfsha256-ecp256\", \"bad\"]\nname ="), []string{`a.toml:2: peer "right": ike_proposals: `}},
		"no ike proposal":     {peer(`name =`, "ike_proposals = []\nname ="), []string{`ike_proposals is empty`}},
		"lifetime":            {peer(`name =`, "ike_lifetime = \"8\"\nname ="), []string{`ike_lifetime = "8" is no duration`}},
		"short lifetime":      {peer(`name =`, "ike_lifetime = \"1ms\"\nname ="), []string{`is too short: 1s at least`}},
		"long lifetime":       {peer(`name =`, "ike_lifetime = \"1000000h\"\nname ="), []string{`is too long`}},
		"zero lifetime":       {peer(`name =`, "ike_lifetime = \"0s\"\nname ="), []string{`is too short`}},
		"dpd":                 {peer(`name =`, "dpd = \"-1s\"\nname ="), []string{`dpd = "-1s" is too short`}},
		"encap":               {peer(`name =`, "encap = \"yes\"\nname ="), []string{`encap = "yes" is none of auto, always, never`}},
		"dpd_action":          {peer(`name =`, "dpd_action = \"hold\"\nname ="), []string{`dpd_action = "hold" is none of restart, trap, clear`}},
		"port of nobody":      {peer(`remote = "192.0.2.2"`, "remote_nat_port = 500"), []string{`a.toml:3: peer "right": remote_nat_port is of no use without remote`}},
		"no port":             {peer(`name =`, "remote_ike_port = 0\nname ="), []string{`remote_ike_port = 0 is out of range`}},
		"per_cpu":             {peer(`name =`, "per_cpu = \"always\"\nname ="), []string{`per_cpu = "always" is none of auto, never`}},
		"fragment":            {peer(`name =`, "fragment = 100\nname ="), []string{`fragment = 100 is too small: 576 at least`}},
		"small peer mtu":      {peer(`name =`, "mtu = 575\nname ="), []string{`a.toml:2: peer "right": mtu = 575 is too small: 576 at least, or 0 for no ceiling`}},
		"peer mtu with IPv6":  {sub(sub(peer(`name =`, "mtu = 1279\nname ="), `"10.1.0.0/16"`, `"2001:db8:1::/64"`), `"10.2.0.0/16"`, `"2001:db8:2::/64"`), []string{`a.toml:2: peer "right": mtu = 1279, but a child has IPv6 networks, and IPv6 needs 1280: raise it`}},
		"no child":            {good[:strings.Index(good, "[[peer.child]]")], []string{`a.toml:1: peer "right": no [[peer.child]]`}},
		"child of wrong type": {good[:strings.Index(good, "[[peer.child]]")] + "child = 1\n", []string{`a.toml:7: peer "right": child must be an array of tables`}},
		"bad selector":        {peer(`"10.1.0.0/16"`, "\n  \"10.0.0.0/8\",\n  \"10.1.0.1/16\""), []string{`a.toml:10: peer "right": child "child1": local: selector "10.1.0.1/16"`}},
		"selector twice":      {peer(`"10.1.0.0/16"`, `"10.1.0.0/16", "10.1.0.0/16"`), []string{`local: 10.1.0.0/16 is there twice`}},
		"no local":            {peer("local = [\"10.1.0.0/16\"]\n", ""), []string{`a.toml:7: peer "right": child "child1": no local`}},
		"empty remote list":   {peer("remote = [\"10.2.0.0/16\"]\n", "remote = []\n"), []string{`a.toml:9: peer "right": child "child1": no remote`}},
		"families of child":   {peer(`"10.2.0.0/16"`, `"2001:db8::/64"`), []string{`local has IPv4 networks and remote has none`, `remote has IPv6 networks and local has none`}},
		"start":               {child(`start = "now"`), []string{`start = "now" is none of traffic, boot, never`}},
		"start without peer":  {peer("remote = \"192.0.2.2\"\n", "") + "start = \"boot\"\n", []string{`a.toml:9: peer "right": child "child1": start = "boot", but the peer has no remote`}},
		"child lifetime":      {child(`lifetime = { time = "soon" }`), []string{`a.toml:10: peer "right": child "child1": lifetime: time = "soon" is no duration`}},
		"bytes":               {child(`lifetime = { bytes = "10 GX" }`), []string{`lifetime: bytes = "10 GX" is no amount of data`}},
		"too many bytes":      {child(`lifetime = { bytes = "99999999999TB" }`), []string{`is no amount of data`}},
		"packets":             {child(`lifetime = { packets = -1 }`), []string{`packets = -1 is out of range`}},
		"replay window":       {child(`replay_window = 100000`), []string{`replay_window = 100000 is out of range: 0 to 65536`}},
		"esn":                 {child(`esn = "yes"`), []string{`esn = "yes" is none of auto, always, never`}},
		"esn without window":  {child("esn = \"always\"\nreplay_window = 0"), []string{`a.toml:10: peer "right": child "child1": esn = "always" needs a replay window`}},
		"esp proposal":        {child(`proposals = ["bad"]`), []string{`a.toml:10: peer "right": child "child1": proposals: `}},
		"two names":           {good + "[[peer.child]]\nname = \"child1\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.7.0.0/16\"]\n", []string{`a.toml:11: peer "right": child "child1": name = "child1": the peer has another child`}},
		"manual cipher":       {manual("aes128gcm16", "aes"), []string{`a.toml:7: peer "m": child "child1": manual: cipher = "aes": write aes128gcm16`}},
		"manual key length":   {manual("aes128gcm16", "aes256gcm16"), []string{`manual: key_out: 20 octets, want 36`}},
		"manual key":          {manual(`"0x00`, `"00`), []string{`manual: key_out: write 0x`}},
		"manual spi":          {manual(`"0x1001"`, `"0xff"`), []string{`manual: spi_out = "0xff": write a number from 0x100`}},
		"manual half":         {manual(`spi_out = "0x1001", `, ``), []string{`manual: spi_out and key_out belong together`, "neither"}},
		"manual none":         {manual(`spi_out = "0x1001", key_out = "0x0000000000000000000000000000000000000000", `, ``), []string{`manual: neither spi_out nor spi_in`}},
		"manual without peer": {manual("remote = \"192.0.2.2\"\n", ""), []string{`manual keys need an address to send to`}},
		"manual and ike":      {manualGood + "start = \"boot\"\n", []string{`a.toml:8: peer "m": child "child1": start means nothing to a child with manual keys`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, tt.doc)
			got := texts(err)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d errors, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
			if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "0xsecret") || strings.ContainsRune(s, 0x1b) }) {
				t.Errorf("a secret or a control character is in %q", got)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := loadText(t, `
[daemon]
wrkers = 2
log = "loud"

[[peer]]
name = "a"
remote = "192.0.2.256"
psk = "0xzz"
local_id = "a"

  [[peer.child]]
  local = ["10.0.0.0/33"]
  remote = ["10.1.0.0/16", "10.2.0.0/16 tpc/1"]

[[peer]]
nmae = "b"
`)
	lines := []string{":3:", ":4:", ":8:", ":9:", ":13:", ":14:"}
	got := texts(err)
	for _, l := range lines {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "a.toml"+l) }) {
			t.Errorf("no error at %s in:\n%s", l, strings.Join(got, "\n"))
		}
	}
	if !slices.ContainsFunc(got, func(s string) bool {
		return strings.HasPrefix(s, `a.toml:17: peer 2: unknown key "nmae": did you mean "name"?`)
	}) {
		t.Errorf("no error about nmae in:\n%s", strings.Join(got, "\n"))
	}
	if !slices.IsSortedFunc(err.(Errors), func(a, b *Error) int { return a.Line - b.Line }) {
		t.Errorf("errors are not in the order of lines:\n%s", strings.Join(got, "\n"))
	}
}
