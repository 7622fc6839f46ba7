package main

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"culvert/internal/control"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func secs(s float64) *float64 { return &s }

func statusExample() *control.Status {
	return &control.Status{Version: 1, Uptime: 12.3, Guard: control.Guard{State: "on", Drops: control.GuardDrops{Out: 3, ICMP: 1}, Repairs: 2}, FastPath: "on: eth0", FastSent: "socket: to 192.0.2.1: its device is in a VRF", Counters: map[string]uint64{"ike_malformed": 2, "esp_unknown_spi": 0, "esp_icv": 1},
		Strangers: []control.Stranger{
			{Remote: "203.0.113.1:500", Reason: "not shown", Times: 1, Last: 900},
			{Remote: "203.0.113.2:500", Reason: "203.0.113.2:500: two", Times: 2, Last: 80},
			{Remote: "203.0.113.3:500", Reason: "203.0.113.3:500: three", Times: 3, Last: 70},
			{Remote: "203.0.113.4:500", Reason: "203.0.113.4:500: \x1b[2J", Times: 4, Last: 60},
			{Remote: "203.0.113.5:500", Reason: "203.0.113.5:500: five", Times: 5, Last: 50},
			{Remote: "203.0.113.9:500", Claims: "right", Event: "auth-failed", Reason: "203.0.113.9:500: authentication of right.example.com failed: the pre-shared keys differ", Times: 1, Last: 3.5},
		},
		Peers: []control.Peer{
			{Name: "right", State: "established", Remote: "192.0.2.2:500", Local: "192.0.2.1:500", RemoteID: "right.example.com",
				Proposal: "aes256gcm16-prfsha384-x25519", NAT: "remote", Established: secs(3700), RekeyIn: secs(28000), Children: []control.Child{
					{Name: "lan", State: "installed", Encap: "udp", EncapWhy: "both sides are culvert", SPIIn: "c0ffee01", SPIOut: "deadbeef", Proposal: "aes128gcm16-esn",
						LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.2.0.0/16", "10.3.0.7/32 tcp/443"}, MTU: 1446, BytesIn: 1234567, PacketsIn: 1000,
						BytesOut: 12, PacketsOut: 1, LastIn: secs(0.2), LastOut: secs(75), RekeyIn: secs(3200), Rekeys: 2, Drops: map[string]uint64{"replay": 7, "icv": 0}, GuardDrops: &control.ChildGuardDrops{Out: 3},
						WorkerSAs: []control.WorkerSA{
							{Worker: 1, State: "installed", SPIIn: "c0ffee03", SPIOut: "deadbee0", BytesIn: 1200000, PacketsIn: 900, LastIn: secs(0.2), RekeyIn: secs(3100), SourcePort: 40123},
							{Worker: 2, State: "installed", SPIIn: "c0ffee04", SPIOut: "deadbee4", SourceWhy: "UDP port 40124 is blocked: what is sent from it does not arrive"},
							{Worker: 0, State: "negotiating"},
						}},
					{Name: "part", State: "installed", Role: &control.Role{For: 75, Why: "another one is preferred"}, Encap: "udp", SPIIn: "c0ffee05", SPIOut: "deadbee5", Proposal: "aes128gcm16-esn", LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.5.0.0/24"}, Narrowed: true,
						AskedLocal: []string{"10.1.0.0/16"}, AskedRemote: []string{"10.5.0.0/16", "10.6.0.0/16"}, MTU: 1446, Drops: map[string]uint64{"not_granted": 3}},
					{Name: "mgmt", State: "waiting", LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.9.0.0/24"}, Reason: "waits for traffic"},
				}},
			{Name: "silent", State: "connecting", Local: "192.0.2.1:500", Remote: "192.0.2.3:500", RemoteID: "silent.example.com", NAT: "none", Reason: "connecting", Verdicts: []control.Verdict{
				{Code: "no-answer", Level: "bad", Text: "no answer from 192.0.2.3: IKE_SA_INIT was sent 3 times in 6 s to UDP port 500", Remedy: "is the peer on, is 192.0.2.3 its address, and does UDP port 500 pass in both directions?"},
				{Code: "child-down", Level: "note", Child: "lan", Text: "the peer said \x1b[2J"},
			}},
			{Name: "headquarters", State: "down", Remote: "hq.example.com", RemoteID: "hq.example.com", NAT: "none", Reason: "hq.example.com cannot be resolved: no such host; it is asked for again",
				Children: []control.Child{{Name: "child1", State: "down", LocalTS: []string{"::/0"}, RemoteTS: []string{"2001:db8::/32"}}}},
			{Name: "evil", State: "connecting", RemoteID: "*.example.com", Parties: &control.Parties{Connected: 1, Max: 2, Refused: 3}, NAT: "none", Reason: "they said \x1b[2J\nright  established"},
			{Name: "bench", State: "manual", Remote: "192.0.2.9", NAT: "none",
				Children: []control.Child{{Name: "in", State: "installed", Encap: "esp", SPIIn: "00001001", Proposal: "aes128gcm16", MTU: 1446,
					LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.8.0.0/16"}}}},
		}}
}

func TestGuardLine(t *testing.T) {
	for want, g := range map[string]control.Guard{
		"on; dropped 1 out, 2 in, 3 icmp":                                            {State: "on", Drops: control.GuardDrops{Out: 1, In: 2, ICMP: 3}},
		"none (no nftables here): only routes keep traffic from leaving unprotected": {State: "none", Reason: "no nftables here"},
		"off": {State: "off"},
		"":    {},
	} {
		if got := guardLine(&g); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// wantGolden compares a text with a file, which -update writes.
func wantGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestRender(t *testing.T) {
	for name, how := range map[string]struct {
		colour bool
		width  int
	}{"testdata/status.txt": {false, 0}, "testdata/status-colour.txt": {true, 0}, "testdata/status-100.txt": {false, 100}} {
		got := render(statusExample(), true, how.colour, how.width)
		wantGolden(t, name, got)
		if !how.colour && strings.Contains(got, "\x1b") {
			t.Error("plain output has escapes")
		}
	}
	if got := render(&control.Status{}, true, false, 80); got != "no peers are configured\n" {
		t.Errorf("no peers: got %q", got)
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		text   string
		indent int
		width  int
		want   string
	}{
		{"one two", 4, 0, "one two"},
		{"one two", 60, 80, "one two"}, // too narrow to help
		{"", 4, 80, ""},
		{strings.Repeat("a", 50) + " b", 4, 40, strings.Repeat("a", 50) + "\n    b"},
		{strings.Repeat("abcd ", 7) + "x", 2, 36, strings.Repeat("abcd ", 6) + "abcd\n  x"},
	} {
		if got := fold(tt.text, tt.indent, tt.width); got != tt.want {
			t.Errorf("fold(%q, %d, %d): got %q, want %q", tt.text, tt.indent, tt.width, got, tt.want)
		}
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999949: "999.9 kB", 999950: "1.0 MB", 1234567: "1.2 MB", 5e9: "5.0 GB", 18446744073709551615: "18.4 EB"} {
		if got := amount(n); got != want {
			t.Errorf("amount(%d): got %s, want %s", n, got, want)
		}
	}
	for s, want := range map[float64]string{-1: "0s", 0.4: "0s", 59.6: "1m0s", 61: "1m1s", 3599.9: "1h0m", 3700: "1h1m", 90000: "1d1h"} {
		if got := span(&s); got != want {
			t.Errorf("span(%v): got %s, want %s", s, got, want)
		}
	}
}

// The status says that keys are written down, whatever else it shows.
func TestKeyLogIsShown(t *testing.T) {
	st := &control.Status{KeyLog: "/root/keys"}
	if got := render(st, false, false, 0); !strings.Contains(got, "keys are written to /root/keys: ") {
		t.Errorf("got %q", got)
	}
	st.KeyLog = ""
	if got := render(st, false, false, 0); strings.Contains(got, "key") {
		t.Errorf("got %q", got)
	}
}

// TestBare: an IKE SA without a Child SA is said to be one, in any state in which it is up.
func TestBare(t *testing.T) {
	const want = "IKE SA without a Child SA"
	for _, c := range []struct {
		peer, child string
		want        bool
	}{
		{"established", "waiting", true}, {"rekeying", "down", true}, {"established", "negotiating", true},
		{"established", "installed", false}, {"established", "rekeying", false},
		{"down", "down", false}, {"connecting", "negotiating", false}, {"closing", "down", false}, {"manual", "", false},
	} {
		p := &control.Peer{State: c.peer, NAT: "none", Children: []control.Child{{State: "down"}, {State: c.child}}}
		if got := peerDetails(p); strings.Contains(got, want) != c.want {
			t.Errorf("%s, %s: %q", c.peer, c.child, got)
		}
	}
}

// TestFailureRows: what both sides offered stands below the reason that tells of it, and nothing
// below another one.
func TestFailureRows(t *testing.T) {
	f := &control.Failure{Cause: "pfs", Text: "only PFS differs", Details: []string{"ours: a", "theirs: \x1b[2J"}}
	for name, tt := range map[string]struct {
		f      *control.Failure
		reason string
		want   []row
	}{
		"its own reason": {f, "only PFS differs; next try in 2 s", []row{{details: "ours: a"}, {details: `theirs: \x1b[2J`}}},
		"another reason": {f, "taken down", nil},
		"none":           {nil, "only PFS differs", nil},
		"granted less":   {&control.Failure{Cause: "narrowed", Text: "x", Details: []string{"ours: a"}}, "x", nil},
	} {
		if got := failureRows(tt.f, tt.reason); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	st := &control.Status{Peers: []control.Peer{{Name: "right", State: "down", Reason: "only PFS differs", Failure: f,
		Children: []control.Child{{Name: "lan", State: "down", Reason: "not PFS", Failure: f}}}}}
	if got := render(st, false, false, 0); strings.Count(got, "\n             ours: a\n") != 1 || strings.Count(got, "theirs: ") != 1 {
		t.Errorf("got\n%s", got)
	}
}
