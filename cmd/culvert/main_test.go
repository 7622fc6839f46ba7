package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/control"
)

// fakeDaemon answers the commands.
type fakeDaemon struct{ peers []control.Peer }

func (f *fakeDaemon) Version() string { return "test" }
func (f *fakeDaemon) Status(context.Context) (*control.Status, error) {
	return &control.Status{Version: 1, Peers: f.peers, Counters: map[string]uint64{"esp_unknown_spi": 3, "ike_malformed": 0}}, nil
}
func (f *fakeDaemon) StatusOf(ctx context.Context, name string) (*control.Status, error) {
	st, err := f.Status(ctx)
	if st.Peers = slices.DeleteFunc(slices.Clone(st.Peers), func(p control.Peer) bool { return p.Name != name }); len(st.Peers) == 0 {
		return nil, control.NoPeer(name, []string{"right"}, 1)
	}
	return st, err
}
func (f *fakeDaemon) Act(_ context.Context, a control.Action, t control.Target) (string, error) {
	if t.Peer != "right" {
		return "", control.NoPeer(t.Peer, []string{"right"}, 1)
	}
	if a == control.Rekey {
		return "", &control.Error{Code: http.StatusConflict, Text: "the peer refused: NO_PROPOSAL_CHOSEN \x1b[2J", Details: []string{"ours: a \x1b[2J", "theirs: b"}}
	}
	if t.Alone {
		return "IKE_SA_INIT: a \x1b[2J\n" + t.Peer + "/ is up", nil
	}
	if t.Verify {
		return t.Peer + "/" + t.Child + " is " + string(a) + ", and verified", nil
	}
	return t.Peer + "/" + t.Child + " is " + string(a), nil
}
func (f *fakeDaemon) Reload(_ context.Context, how control.ReloadHow) (*control.Changes, error) {
	if how.Force {
		return nil, &control.Error{Code: http.StatusConflict, Text: "forced", Details: []string{"c is removed"}}
	}
	return &control.Changes{Changes: []string{`peer "b" is added`}, Summary: "1 added, 2 kept as they are", Warnings: []string{"psk is short"}}, nil
}
func (f *fakeDaemon) Explain(_ context.Context, peer string) ([]string, error) {
	if peer != "right" {
		return nil, control.NoPeer(peer, []string{"right"}, 1)
	}
	return []string{"ours: a", "theirs: b"}, nil
}

// serve runs a fake daemon with peers, or by default one, and returns its socket.
func serve(t *testing.T, peers ...control.Peer) string {
	t.Helper()
	path, _ := serveUntil(t, peers...)
	return path
}

// serveUntil is serve with a function that ends the daemon.
func serveUntil(t *testing.T, peers ...control.Peer) (path string, end func()) {
	t.Helper()
	if peers == nil {
		peers = []control.Peer{{Name: "right", State: "down", NAT: "none", Reason: "no answer"}}
	}
	path = filepath.Join(t.TempDir(), "c.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(&fakeDaemon{peers: peers}, slog.New(slog.DiscardHandler))
	go s.Serve(l)
	end = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
	})
	t.Cleanup(end)
	return path, end
}

func client(t *testing.T) *control.Client { return clientAt(serve(t)) }

func clientAt(path string) *control.Client { return control.NewClient(path) }

// culvert runs one command.
func culvert(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Main(context.Background(), args, &out, &err)
	return status, out.String(), err.String()
}

func TestCommands(t *testing.T) {
	socket := serve(t)
	for _, tt := range []struct {
		args           string
		status         int
		stdout, stderr string // what they contain; "" is nothing at all
	}{
		{"", 2, "", "culvert status [PEER]"},
		{"statsu", 2, "", "there is no command \"statsu\": did you mean \"status\"?\n"},
		{"status right/lan --control SOCKET", 2, "", "status shows a peer with all its children, not \"lan\" alone; use culvert status right"},
		{"help", 0, "culvert up PEER[/CHILD]", ""},
		{"--help", 0, "culvert run [FILE]", ""},
		{"help up", 0, "--control SOCKET", ""},
		{"help frobnicate", 2, "", "there is no command \"frobnicate\"; `culvert help` lists them\n"},
		{"check -h", 0, "--config FILE", ""},
		{"frobnicate", 2, "", "there is no command \"frobnicate\"; `culvert help` lists them\n"},
		{"version", 0, "culvert ", ""},
		{"--version", 0, "culvert ", ""},
		{"version 1.2", 2, "", `unexpected "1.2"`},
		{"status -h", 0, "usage: culvert status [PEER] [-v] [--watch] [--down]", ""},
		{"status --control SOCKET", 0, "1 peer: 0 up, 1 down; 0 children: 0 up\nPEER   STATE  CHILDREN  RECEIVED  SENT  SINCE\nright  down   0 of 0         0 B   0 B\n  no answer\n", ""},
		{"status -v --control SOCKET", 0, "right  down  no answer\n\ncounters: esp_unknown_spi 3\n", ""},
		{"status --peer r* --limit 1 --down --control SOCKET", 0, "right  down ", ""},
		{"status --peer x* --control SOCKET", 0, "1 peer: 0 up, 1 down; 0 children: 0 up\n", ""},
		{"status --peer [ --control SOCKET", 2, "", `--peer "[" is not a pattern; use for example 'office-*'`},
		{"status --jsonl --control SOCKET", 0, "{\"name\":\"right\"", ""},
		{"status right --control SOCKET", 0, "right  down  no answer\n", ""},
		{"status --control=SOCKET left", 1, "", `culvert status: there is no peer "left": the only one is right`},
		{"status --frob", 2, "", "there is no flag --frob"},
		{"status a b --control SOCKET", 2, "", `unexpected "b"`},
		{"up right --control SOCKET", 0, "right/ is up\n", ""},
		{"up right --verify --control SOCKET", 0, "right/ is up, and verified\n", ""},
		{"up right --ike-only --control SOCKET", 0, "IKE_SA_INIT: a \\x1b[2J\nright/ is up\n", ""},
		{"up right/lan --ike-only --control SOCKET", 2, "", "--ike-only goes with a peer, without a child and without --verify"},
		{"up right --ike-only --verify --control SOCKET", 2, "", "--ike-only goes with a peer, without a child and without --verify"},
		{"down right --ike-only --control SOCKET", 2, "", "there is no flag --ike-only"},
		{"help up", 0, "--verify", ""},
		{"down right --verify --control SOCKET", 2, "", "there is no flag --verify"},
		{"--control SOCKET up right", 2, "", "there is no command"},
		{"down right/lan --control SOCKET", 0, "right/lan is down\n", ""},
		{"rekey right/lan --control SOCKET", 1, "", "culvert rekey: the peer refused: NO_PROPOSAL_CHOSEN \\x1b[2J\n  ours: a \\x1b[2J\n  theirs: b\n"},
		{"up nobody --control SOCKET", 1, "", `there is no peer "nobody"`},
		{"up --control SOCKET", 2, "", "argument missing; use PEER[/CHILD]"},
		{"up right --control", 2, "", "--control needs a value"},
		{"status --json=maybe", 2, "", "for --json"},
		{"up right/ --control SOCKET", 2, "", "\"right/\" is not a target; use PEER or PEER/CHILD"},
		{"up --control SOCKET -- right", 0, "right/ is up\n", ""},
		{"up --control SOCKET -- -x", 1, "", `there is no peer "-x"`},
		{"reload --control SOCKET", 0, "peer \"b\" is added\npeers: 1 added, 2 kept as they are\n", "warning: psk is short\n"},
		{"reload --dry-run --control SOCKET", 0, "peers: 1 added, 2 kept as they are; nothing was changed\n", "warning: psk is short\n"},
		{"reload --force --control SOCKET", 1, "", "culvert reload: forced\n  c is removed\n"},
		{"reload x", 2, "", `unexpected "x"`},
		{"explain right --control SOCKET", 0, "ours: a\ntheirs: b\n", ""},
		{"explain left --control SOCKET", 1, "", `there is no peer "left"`},
		{"explain", 2, "", "argument missing; use PEER"},
		{"run", 2, "", "there is no configuration: give FILE, or put one into /etc/culvert"},
		{"check", 2, "", "there is no configuration: give FILE, or put one into /etc/culvert"},
		{"guard", 2, "", "there is no configuration: give FILE, or put one into /etc/culvert"},
		{"check a --config b", 2, "", "FILE and --config exclude each other; use one of them"},
		{"check /none.toml", 1, "", "/none.toml: no such file\n"},
		{"guard --config /none.toml", 1, "", "/none.toml: no such file\n"},
		{"release x", 2, "", `unexpected "x"`},
		{"release --config a --tun b", 2, "", "--config and --tun exclude each other; use one of them"},
		{"release --config /none.toml", 1, "", "/none.toml: no such file\n"},
		{"check --config /none.toml", 1, "", "/none.toml: no such file\n"},
		{"run --config /none.toml", 1, "", "/none.toml: no such file\n"},
		{"status --control /none.sock", 1, "", "culvert status: no culvert daemon listens at /none.sock; start it, or give another socket with --control\n"},
	} {
		args := strings.Fields(strings.ReplaceAll(tt.args, "SOCKET", socket))
		status, stdout, stderr := culvert(args...)
		if status != tt.status {
			t.Errorf("%s: got exit status %d, want %d", tt.args, status, tt.status)
		}
		for name, s := range map[string][2]string{"stdout": {stdout, tt.stdout}, "stderr": {stderr, tt.stderr}} {
			if got, want := s[0], s[1]; want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s: %s: got %q, want %q", tt.args, name, got, want)
			}
		}
	}
}
