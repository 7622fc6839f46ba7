package guard

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

const deviceName = "cv0"

func newHost(t *testing.T) *netlab.Host {
	t.Helper()
	h, err := netlab.Need(t).Host("gd-a")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func testConfig() Config {
	return Config{Device: deviceName, Mark: protect.DefaultMark, Ports: []uint16{500, 4500}, Log: slog.New(slog.DiscardHandler)}
}

func openIn(t *testing.T, h *netlab.Host, cfg Config, whole protect.Change) *Guard {
	t.Helper()
	var g *Guard
	if err := h.Do(func() (err error) { g, err = Open(cfg, whole); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func pfx(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func policy(child string, local, remote []netip.Prefix) protect.Policy {
	return protect.Policy{ID: peerChild(child), Name: "peer/" + child, Local: local, Remote: remote}
}

// nft runs nft in a host and returns its output.
func nft(t *testing.T, h *netlab.Host, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft")
	}
	var out []byte
	if err := h.Do(func() (err error) { out, err = exec.Command("nft", args...).CombinedOutput(); return err }); err != nil {
		t.Fatalf("nft %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.String()
}

// tableNow returns the name of the guard's table.
func (g *Guard) tableNow() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table
}

// fewIn returns a configuration whose sets start with n intervals.
func fewIn(n int) Config {
	c := testConfig()
	c.chunk = n
	return c
}
