package config

import (
	"errors"
	"fmt"
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
	"culvert/ike/wire"
	"culvert/selector"
	"culvert/tun/protect"
)

// write makes a folder of files, private ones, and returns its path.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loadText(t *testing.T, content string) (*Config, error) {
	t.Helper()
	return Load(filepath.Join(write(t, map[string]string{"a.toml": content}), "a.toml"))
}

func mustLoad(t *testing.T, content string) *Config {
	t.Helper()
	c, err := loadText(t, content)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// texts are the errors without their folder.
func texts(err error) []string {
	var errs Errors
	if !errors.As(err, &errs) {
		return nil
	}
	var out []string
	for _, e := range errs {
		short := *e
		short.File = filepath.Base(e.File)
		out = append(out, short.Error())
	}
	return out
}

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
	if d := c.Daemon; d.MTUMin != 576 || d.NoOffloads || d.Guard != GuardAuto || d.Mark != protect.DefaultMark || d.RouteTable != 0 || d.RulePriority != 0 || d.Bypass != nil {
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
	if ch.Name != "child1" || ch.Start != ike.StartBoot || ch.Lifetime != time.Hour || ch.Limits != (esp.Limits{}) || ch.ReplayWindow != 4096 || len(ch.Proposals) == 0 {
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
	if d.MTUMin != 600 || !d.NoOffloads || d.Guard != GuardRequire || d.Mark != (protect.Mark{Value: 0x1000, Mask: 0x3000}) || d.RouteTable != 900 || d.RulePriority != 32700 ||
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

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
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

func TestShortSecretIsAWarning(t *testing.T) {
	c := mustLoad(t, strings.Replace(left, "correct horse battery staple", "secret", 1))
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Error(), `a.toml:6: peer "right": psk is short`) {
		t.Errorf("got %v, want one about a short psk", c.Warnings)
	}
}

func TestExampleIsValid(t *testing.T) {
	doc, err := os.ReadFile("../../docs/example.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, string(doc))
	if len(c.Peers) != 3 || c.Children() != 3 {
		t.Errorf("got %d peers and %d children, want 3 and 3", len(c.Peers), c.Children())
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
	c, err = Load(filepath.Join(write(t, map[string]string{"a.toml": strings.Join(all, "\n"), "peers.d/none": ""}), "a.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Daemon.Metrics == "" || c.Peers[0].Local.String() != "192.0.2.1" {
		t.Errorf("commented keys were not read: %+v", c.Daemon)
	}
}
