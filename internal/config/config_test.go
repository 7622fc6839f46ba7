package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/esp"
	"culvert/ike"
	"culvert/selector"
	"culvert/tun/protect"
)

const left = `[[peer]]
name   = "right"
remote = "192.0.2.2"
local_id  = "left.example.com"
remote_id = "right.example.com"
psk    = "correct horse battery staple"

  [[peer.child]]
  local  = ["10.1.0.0/16"]
  remote = ["10.2.0.0/16"]
  start  = "boot"
`

func TestDefaults(t *testing.T) {
	c := mustLoad(t, left)
	want := Daemon{TUN: "culvert0", Control: "/run/culvert/control.sock", IKEPort: 500, NATPort: 4500, DSCP: 48, Log: slog.LevelInfo,
		Listen: []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}}
	if got := c.Daemon; !slices.Equal(got.Listen, want.Listen) || got.TUN != want.TUN || got.Control != want.Control || got.IKEPort != want.IKEPort ||
		got.NATPort != want.NATPort || got.DSCP != want.DSCP || got.Log != want.Log || got.JSONLog || got.Workers != 0 || got.Spin != 0 || got.MTU != 0 || got.Metrics != "" {
		t.Errorf("daemon: got %+v, want %+v", got, want)
	}
	if d := c.Daemon; d.MTUMin != 576 || d.NoOffloads || d.NoFastPath || d.Guard != GuardAuto || d.Mark != protect.DefaultMark || d.RouteTable != 0 || d.RulePriority != 0 || d.Bypass != nil {
		t.Errorf("daemon: got %+v", d)
	}
	if len(c.Peers) != 1 || c.Children() != 1 {
		t.Fatalf("got %d peers, %d children, want 1 and 1", len(c.Peers), c.Children())
	}
	p := c.Peers[0]
	if r := p.Routing; p.MTU != 0 || len(r) != 1 || r[0].Bypass != nil || r[0].Routes != RoutesAuto || r[0].To != nil {
		t.Errorf("peer: got a ceiling of %d, routing %+v", p.MTU, r)
	}
	if p.Name != "right" || !slices.Equal(p.Remote, []netip.Addr{netip.MustParseAddr("192.0.2.2")}) || p.RemoteName != "" || p.Local.IsValid() {
		t.Errorf("peer: got %q at %v (%q), local %v", p.Name, p.Remote, p.RemoteName, p.Local)
	}
	if p.LocalID.String() != "left.example.com" || p.RemoteID.String() != "right.example.com" || string(p.PSK) != "correct horse battery staple" {
		t.Errorf("peer: got identities %s and %s, secret %q", p.LocalID, p.RemoteID, p.PSK)
	}
	if p.Lifetime != 8*time.Hour || p.DPD != 30*time.Second || p.DPDAction != ike.DPDRestart || p.Encap != ike.EncapAuto || p.Fragment != 1280 || len(p.Proposals) == 0 {
		t.Errorf("peer: got %+v", p.Peer)
	}
	ch := p.Children[0]
	if ch.Name != "child1" || ch.Start != ike.StartBoot || ch.Narrow != ike.NarrowTraffic || ch.Lifetime != time.Hour || ch.Limits != (esp.Limits{}) || ch.ReplayWindow != 4096 || len(ch.Proposals) == 0 {
		t.Errorf("child: got %+v", ch)
	}
	if !slices.Equal(ch.Local, []selector.Selector{mustSelector(t, "10.1.0.0/16")}) || !slices.Equal(ch.Remote, []selector.Selector{mustSelector(t, "10.2.0.0/16")}) {
		t.Errorf("child: got %v to %v", ch.Local, ch.Remote)
	}
}

func mustSelector(t *testing.T, text string) selector.Selector {
	t.Helper()
	s, err := selector.ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryValueIsRead(t *testing.T) {
	c := mustLoad(t, `
[daemon]
tun = "vpn7"
control = "/tmp/x.sock"
listen = ["192.0.2.1", "2001:db8::1"]
ike_port = 1500
nat_port = 14500
ike_dscp = 0
workers = 3
spin_us = 50
mtu = 1400
mtu_min = 600
offloads = "none"
fast_path = "off"
guard = "require"
mark = "0x1000/0x3000"
route_table = 900
rule_priority = 32700
bypass = ["10.4.0.16-10.4.0.32"]
log = "debug"
log_format = "json"
metrics = "127.0.0.1:9155"

[[peer]]
name = "a"
remote = "hq.example.com"
remote_ike_port = 2500
remote_nat_port = 24500
local = "192.0.2.1"
ike = 2
psk = "0s`+"c2VjcmV0IHNlY3JldCBzZWNyZXQ="+`"
ike_proposals = ["aes128gcm16-prfsha256-ecp256"]
ike_lifetime = "1h30m"
encap = "always"
dpd = "0s"
dpd_action = "trap"
fragment = 0
per_cpu = "never"
mtu = 1380
  [[peer.child]]
  name = "lan"
  local = ["10.1.0.0/16"]
  remote = ["10.4.0.1-10.4.0.77 udp/1024-2047"]
  bypass = ["10.4.0.8/30", "10.4.0.70"]
  routes = ["10.4.0.32/27"]
  proposals = ["aes256gcm16-x25519"]
  start = "never"
  lifetime = { time = "10m", bytes = "10GB", packets = 1000 }
  replay_window = 128
  esn = "never"
`)
	d := c.Daemon
	if d.TUN != "vpn7" || d.Control != "/tmp/x.sock" || len(d.Listen) != 2 || d.IKEPort != 1500 || d.NATPort != 14500 || d.DSCP != 0 || d.Workers != 3 || d.Spin != 50*time.Microsecond || d.MTU != 1400 ||
		d.Log != slog.LevelDebug || !d.JSONLog || d.Metrics != "127.0.0.1:9155" {
		t.Errorf("daemon: got %+v", d)
	}
	if d.MTUMin != 600 || !d.NoOffloads || !d.NoFastPath || d.Guard != GuardRequire || d.Mark != (protect.Mark{Value: 0x1000, Mask: 0x3000}) || d.RouteTable != 900 || d.RulePriority != 32700 ||
		!slices.Equal(d.Bypass, prefixes("10.4.0.16/28", "10.4.0.32/32")) {
		t.Errorf("daemon: got %+v", d)
	}
	p := c.Peers[0]
	if p.RemoteName != "hq.example.com" || p.Remote != nil || p.Local != netip.MustParseAddr("192.0.2.1") || p.LocalID.String() != "192.0.2.1" ||
		p.RemoteID.String() != "hq.example.com" || string(p.PSK) != "secret secret secret" || len(p.Proposals) != 1 || p.Lifetime != 90*time.Minute ||
		p.Encap != ike.EncapAlways || p.RemotePort != 2500 || p.RemoteNATPort != 24500 || p.DPD != 0 || p.DPDAction != ike.DPDTrap || p.Fragment != 0 || p.PerResource || p.MTU != 1380 {
		t.Errorf("peer: got %+v", p)
	}
	if r := p.Routing[0]; len(p.Routing) != 1 || !slices.Equal(r.Bypass, prefixes("10.4.0.8/30", "10.4.0.70/32")) || r.Routes != RoutesListed || !slices.Equal(r.To, prefixes("10.4.0.32/27")) {
		t.Errorf("routing: got %+v", p.Routing)
	}
	ch := p.Children[0]
	limits := esp.Limits{SoftBytes: 10e9, HardBytes: 11e9, SoftPackets: 1000, HardPackets: 1100}
	if ch.Name != "lan" || ch.Start != ike.StartNever || ch.Lifetime != 10*time.Minute || ch.Limits != limits || ch.ReplayWindow != 128 || len(ch.Proposals) != 1 {
		t.Errorf("child: got %+v", ch)
	}
}

func TestExampleIsValid(t *testing.T) {
	doc, err := os.ReadFile("../../docs/example.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := withKeys(t)
	for example, file := range map[string]string{"branch.crt": "left.crt", "branch.key": "left.key", "office.pub": "right.pub"} {
		if err := os.Rename(filepath.Join(dir, file), filepath.Join(dir, example)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadIn(t, dir, string(doc))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Peers) != 4 || c.Children() != 4 {
		t.Errorf("got %d peers and %d children, want 4 and 4", len(c.Peers), c.Children())
	}
	// What is commented out must be right as well.
	var all []string
	for line := range strings.SplitSeq(string(doc), "\n") {
		before, key, ok := strings.Cut(line, "# ")
		if name, _, isKey := strings.Cut(key, " "); ok && strings.TrimSpace(before) == "" && isKey && strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(key, name)), "=") {
			line = before + key
		}
		all = append(all, line)
	}
	if err := os.Mkdir(filepath.Join(dir, "peers.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err = loadIn(t, dir, strings.Join(all, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Daemon.Metrics == "" || c.Peers[0].Local.String() != "192.0.2.1" {
		t.Errorf("commented keys were not read: %+v", c.Daemon)
	}
}
