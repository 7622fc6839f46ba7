package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/suite"
	"culvert/internal/control"
	"culvert/internal/ipsec"
)

// Two daemons on a link in memory, with the true control plane and configuration files. Only the
// packet path, the routes and the sockets are not there.

// A keys is the keys of a [[peer]] or a [[peer.child]], as TOML.
type keys map[string]string

// peerKeys and childKeys are those of a side, unless a test has others. An empty value omits a key.
func peerKeys(side, other, remote string) keys {
	return keys{
		"name": quoted(other), "remote": quoted(remote), "local_id": quoted(side + ".example.com"), "remote_id": quoted(other + ".example.com"),
		"psk": quoted(theSecret), "ike_proposals": `["aes256gcm16-prfsha256-x25519"]`,
	}
}

func childKeys(local, remote string) keys {
	return keys{"name": `"lan"`, "local": "[" + quoted(local) + "]", "remote": "[" + quoted(remote) + "]", "proposals": `["aes128gcm16"]`}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// theSecret must be in no output.
const theSecret = "the-secret-of-this-test"

func (k keys) with(more keys) keys {
	k = maps.Clone(k)
	maps.Copy(k, more)
	return k
}

func (k keys) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k)) {
		if k[name] != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, k[name])
		}
	}
	return b.String()
}

// An end is a daemon on the link.
type end struct {
	t      *testing.T
	d      *Daemon
	driver *driver.Driver
	addr   netip.Addr
	in     chan packet
	to     func(packet)
	log    lockedBuffer
	spi    atomic.Uint32
	cancel context.CancelFunc
	done   chan struct{}
}

// A packet is an IKE message, with its path as the sender has it.
type packet struct {
	path ipsec.Path
	data []byte
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newEnd starts a daemon with a configuration. files are written beside it.
func newEnd(t *testing.T, addr, doc string, files map[string][]byte) *end {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := &end{t: t, addr: netip.MustParseAddr(addr), in: make(chan packet, 1024), done: make(chan struct{})}
	d, f, _ := testDaemon(t, strings.ReplaceAll(doc, "DIR", dir), nil)
	d.now = time.Now
	e.d = d
	e.driver = driver.New(driver.Config{
		Engine: ike.New(ike.Config{
			Rand: rand.Reader, KE: suite.SystemGroups{}, SPIs: e, IKEPort: 500, NATPort: 4500,
			LocalAddr: func(netip.Addr) netip.Addr { return e.addr }, HasAddr: func(a netip.Addr) bool { return a == e.addr },
		}, time.Now()),
		Plane: e, Transport: e, Log: slog.New(slog.NewJSONHandler(&e.log, nil)), Workers: 1,
	})
	ctx, cancel := context.WithCancel(t.Context())
	e.cancel = cancel
	go func() { defer close(e.done); _ = e.driver.Run(ctx) }()
	nothing := func([]ipsec.Policy, []ipsec.PolicyID) error { return nil }
	if err := e.driver.SetPeers(ctx, f.peers, nothing); err != nil {
		t.Fatal(err)
	}
	d.ike = e.driver
	return e
}

// stop ends the daemon.
func (e *end) stop() {
	e.cancel()
	<-e.done
	close(e.in)
	e.d.resolver.close()
}

// up is "culvert up" of the other side, within two minutes.
func (e *end) up(name string, alone bool) *control.Error {
	ctx, cancel := context.WithTimeout(e.t.Context(), 2*time.Minute)
	defer cancel()
	_, err := e.d.Act(ctx, control.Up, control.Target{Peer: name, Alone: alone})
	if refused, ok := err.(*control.Error); ok {
		return refused
	}
	if err != nil {
		e.t.Errorf("up %s: %v", name, err)
	}
	return nil
}

// A record is what an output tells of a failed negotiation.
type record struct {
	Cause, Text string
	Details     []string
}

// logged returns the failures in the log.
func (e *end) logged() (list []record) {
	for line := range strings.Lines(e.log.String()) {
		var l struct{ Msg, Cause, Details string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			e.t.Fatalf("the log has %q: %v", line, err)
		}
		if l.Cause != "" {
			r := record{l.Cause, l.Msg, nil}
			if l.Details != "" {
				r.Details = strings.Split(l.Details, " | ")
			}
			list = append(list, r)
		}
	}
	return list
}

// status returns the failures in the JSON of the status, and that JSON.
func (e *end) status() (list []record, text string) {
	st, err := e.d.Status(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	raw, err := json.Marshal(st)
	if err != nil {
		e.t.Fatal(err)
	}
	var got control.Status
	if err := json.Unmarshal(raw, &got); err != nil {
		e.t.Fatal(err)
	}
	add := func(f *control.Failure) {
		if f != nil {
			list = append(list, record{f.Cause, f.Text, f.Details})
		}
	}
	for _, p := range got.Peers {
		add(p.Failure)
		add(p.RefusedCall)
		for _, c := range p.Children {
			add(c.Failure)
		}
	}
	for _, s := range got.Strangers {
		list = append(list, record{s.Cause, s.Reason, s.Details})
	}
	return list, string(raw)
}

// events returns the texts of the events.
func (e *end) events() (texts []string) {
	for _, p := range e.d.config().Peers {
		for _, ev := range e.driver.History(p.Name) {
			texts = append(texts, ev.Text)
		}
	}
	for _, s := range e.driver.Strangers() {
		texts = append(texts, s.Text)
	}
	return texts
}

// The SPI allocator.

func (e *end) AllocSPI(uint32) (uint32, error) { return 0x1000 + e.spi.Add(1), nil }
func (e *end) FreeSPI(uint32)                  {}

// driver.Plane, which carries no packets.

func (e *end) ChangePolicies([]ipsec.Policy, []ipsec.PolicyID) error   { return nil }
func (e *end) HoldPolicy(ipsec.PolicyID, bool)                         {}
func (e *end) StandbyPolicy(ipsec.PolicyID, bool)                      {}
func (e *end) ProbePair(ipsec.ChildID)                                 {}
func (e *end) CopyPackets(_, _ ipsec.PolicyID, _ int)                  {}
func (e *end) InstallInbound(ipsec.ChildSA) error                      { return nil }
func (e *end) ActivateOutbound(ipsec.ChildID)                          {}
func (e *end) DeactivateOutbound(ipsec.ChildID)                        {}
func (e *end) RemoveSA(ipsec.ChildID)                                  {}
func (e *end) SetPath(ipsec.ChildID, ipsec.Path)                       {}
func (e *end) LastTraffic(ipsec.ChildID) (t ipsec.Traffic, known bool) { return t, true }
func (e *end) AcquireFailed(ipsec.PolicyID)                            {}
func (e *end) PathProbed(ipsec.PathProbe)                              {}
func (e *end) Wake() <-chan struct{}                                   { return nil }
func (e *end) Drain() []ipsec.Event                                    { return nil }

// driver.Transport.

func (e *end) SendIKE(p ipsec.Path, data []byte) error {
	e.to(packet{p, bytes.Clone(data)})
	return nil
}
func (e *end) ProbeIKE(p ipsec.Path, data []byte) error               { return e.SendIKE(p, data) }
func (e *end) SendIKEInFragments(p ipsec.Path, d []byte, _ int) error { return e.SendIKE(p, d) }
func (e *end) SendKeepalive(ipsec.Path) error                         { return nil }

func (e *end) ReadIKE(buf []byte) (int, ipsec.Path, error) {
	p, ok := <-e.in
	if !ok {
		return 0, ipsec.Path{}, net.ErrClosed
	}
	local, remote := p.path.Remote(), netip.AddrPortFrom(p.path.Local().Addr(), p.path.Local().Port())
	return copy(buf, p.data), ipsec.NewPath(p.path.Via(), local, remote, 0), nil
}

// take brings a packet to the daemon.
func (e *end) take(p packet) {
	select {
	case e.in <- p:
	default:
	}
}

// joinEnds joins two daemons.
func joinEnds(a, b *end) {
	join := func(from, to *end) {
		from.to = func(p packet) {
			if !p.path.Local().Addr().IsValid() || p.path.Local().Addr().IsUnspecified() {
				p.path = p.path.WithLocal(from.addr)
			}
			if p.path.Remote().Addr() == to.addr {
				to.take(p)
			}
		}
	}
	join(a, b)
	join(b, a)
}

// inBubble runs a test at a time when the certificates of tests are valid.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)))
		f(t)
	})
}
