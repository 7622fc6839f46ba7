package daemon

import (
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/internal/config"
	"culvert/internal/control"
)

// IP protocol 50 is needed unless every peer is always sent ESP in UDP.
func TestNeedsRawESP(t *testing.T) {
	for _, tt := range []struct {
		modes []ike.EncapMode
		want  bool
	}{
		{nil, false},
		{[]ike.EncapMode{ike.EncapAlways}, false},
		{[]ike.EncapMode{ike.EncapAuto}, true},
		{[]ike.EncapMode{ike.EncapNever}, true},
		{[]ike.EncapMode{ike.EncapAlways, ike.EncapAuto}, true},
	} {
		cfg := &config.Config{}
		for _, m := range tt.modes {
			cfg.Peers = append(cfg.Peers, config.Peer{Peer: ike.Peer{Encap: m}})
		}
		if got := needsRawESP(cfg); got != tt.want {
			t.Errorf("encap %v: got %v, want %v", tt.modes, got, tt.want)
		}
	}
}

// A change of the host's links is noted once until it is taken, and never blocks.
func TestHostChanged(t *testing.T) {
	p := &parts{host: make(chan struct{}, 1)}
	for range 3 {
		p.hostChanged()
	}
	<-p.host
	select {
	case <-p.host:
		t.Error("noted twice")
	default:
	}
}

// A start that fails says what failed first, and leaves nothing open, however far it came.
func TestPartsOpenAllOrNone(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	path := filepath.Join(t.TempDir(), "c.sock")
	for want, c := range map[string]config.Daemon{
		"control socket: ": {Control: "/dev/null/c.sock"},
		"metrics: ":        {Control: path, Metrics: "127.0.0.1:70000"},
		"listen address ":  {Control: path, Listen: addrs("192.0.2.1"), Guard: config.GuardOff, Workers: 1},
		"device name ":     {Control: path, Metrics: "127.0.0.1:0", TUN: strings.Repeat("x", 40), Guard: config.GuardOff, Workers: 1},
	} {
		p, err := openParts(&config.Config{Daemon: c}, slog.New(slog.DiscardHandler))
		if p != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, want %q", p, err, want)
		}
		l, err := control.Listen(path)
		if err != nil {
			t.Fatalf("after %q the control socket is still open: %v", want, err)
		}
		l.Close()
	}
}
