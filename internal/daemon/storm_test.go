package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
	"culvert/tun/protect"
)

// leastChildRekeys is the number of rekeys that make a storm.
const leastChildRekeys = 6

// TestRekeyStorm runs two daemons that are complete except for the device and the routes. Both
// rekey the Child SA and the IKE SA as fast as they can, each from its side, while numbered packets
// flow both ways over two workers. No packet is lost or duplicated. It exists for the race
// detector.
func TestRekeyStorm(t *testing.T) {
	// colliding rekeys take seconds (RFC 7296, Section 2.25), so the storm lasts until there were
	// enough
	const storm, patience = 3 * time.Second, 20 * time.Second
	left, right := newSite(t, "left"), newSite(t, "right")
	left.run(t, right)
	right.run(t, left)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if _, err := left.Act(ctx, control.Up, control.Target{Peer: "right"}); err != nil {
		t.Fatal(err)
	}
	// right, the responder, sends on the SA once it has received on it, and queues only a few
	// packets until then
	for _, s := range []*site{left, right} {
		s.send()
		s.other.wantAll(ctx, t)
	}
	storming, calm := context.WithTimeout(ctx, patience)
	defer calm()
	childRekeys := func() int64 { return left.childRekeys.Load() + right.childRekeys.Load() }
	ikeRekeys := func() int64 { return left.ikeRekeys.Load() + right.ikeRekeys.Load() }
	begun, tick := time.Now(), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	var running sync.WaitGroup
	for _, s := range []*site{left, right} {
		running.Go(func() { s.pump(storming) })
		running.Go(func() { s.rekey(storming) })
	}
	for storming.Err() == nil && (time.Since(begun) < storm || childRekeys() < leastChildRekeys || ikeRekeys() < 1) {
		<-tick.C
	}
	calm()
	running.Wait()
	for _, s := range []*site{left, right} {
		s.wantAll(ctx, t)
		t.Logf("%s: %d rekeys of the Child SA and %d of the IKE SA, %d packets", s.name, s.childRekeys.Load(), s.ikeRekeys.Load(), s.sent.Load())
	}
	if n := childRekeys(); n < leastChildRekeys {
		t.Errorf("%d rekeys of the Child SA in %v are no storm", n, patience)
	}
	if n := ikeRekeys(); n < 1 {
		t.Errorf("%d rekeys of the IKE SA in %v are no storm", n, patience)
	}
}

// site is a daemon whose device is in memory.
type site struct {
	*Daemon
	name, peer             string
	parts                  *parts
	queues                 []*memQueue
	other                  *site
	childRekeys, ikeRekeys atomic.Int64
	sent                   atomic.Int64
	log                    *syncBuffer
}

const stormWorkers = 2

// newSite opens the sockets and makes the packet path.
func newSite(t *testing.T, name string) *site {
	t.Helper()
	s := &site{name: name, peer: map[string]string{"left": "right", "right": "left"}[name], log: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	p := &parts{log: log, state: &stateOpener{dir: filepath.Join(t.TempDir(), "state")}}
	s.parts = p
	var err error
	if p.net, err = netio.Open(netio.Config{Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Workers: stormWorkers, Log: log}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "storm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if p.control, err = net.Listen("unix", filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	cfg := dataplane.Config{Ports: p.net.Ports(), Log: log, MTU: 1400,
		OnIKE: func(r *netio.Received) { p.driver.Deliver(r.Path, r.Data) }}
	for range cfg.Ports {
		q := newMemQueue()
		s.queues = append(s.queues, q)
		cfg.Queues = append(cfg.Queues, q)
	}
	if p.plane, err = dataplane.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.Daemon = &Daemon{log: log, level: new(slog.LevelVar), started: time.Now(), now: time.Now, plane: p.plane, routes: routes{&fakeParts{}}, device: counted{}, net: p.net, recorder: newManualRecorder(p.state, p.plane, log),
		flows: protect.NewSet(), found: map[string]lookup{}, policies: newPolicies(), manual: map[ipsec.PolicyName]manualSA{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, s.log)
		}
	})
	return s
}

// run runs the daemon until the test ends.
func (s *site) run(t *testing.T, other *site) {
	t.Helper()
	s.other = other
	local, remote := "10.1.0.0/16", "10.2.0.0/16"
	if s.name == "right" {
		local, remote = remote, local
	}
	s.opts.Config = filepath.Join(t.TempDir(), "storm.toml")
	writeConfig(t, s.Daemon, fmt.Sprintf(`
[daemon]
listen = ["127.0.0.1"]
ike_port = %d
nat_port = %d

[[peer]]
name = %q
remote = "127.0.0.1"
remote_ike_port = %d
remote_nat_port = %d
local_id = "%s.example.com"
remote_id = "%s.example.com"
psk = "correct horse battery staple"
encap = "always"
  [[peer.child]]
  name = "lan"
  local = [%q]
  remote = [%q]
  start = "never"
`, s.parts.net.IKEPort(), s.parts.net.NATPort(), s.peer, other.parts.net.IKEPort(), other.parts.net.NATPort(), s.name, s.peer, local, remote))
	cfg, err := config.Load(s.opts.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Daemon.run(ctx, cfg, s.parts) }()
	s.logged(t, "daemon-start")
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended: %v", s.name, err)
		}
		s.parts.close(false)
	})
}

// logged waits until the daemon has logged an event.
func (s *site) logged(t *testing.T, event string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.log.String(), "event="+event); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: no %s", s.name, event)
		}
	}
}

// rekey keeps rekeying the Child SA, and at times the IKE SA, until storming ends. A collision with
// the other side may make one fail: it counts the successful ones.
func (s *site) rekey(storming context.Context) {
	rng := rand.New(rand.NewPCG(uint64(len(s.name)), 0))
	for i := 1; storming.Err() == nil; i++ {
		target, n := control.Target{Peer: s.peer, Child: "lan"}, &s.childRekeys
		if i%4 == 3 {
			target, n = control.Target{Peer: s.peer}, &s.ikeRekeys
		}
		if _, err := s.Act(storming, control.Rekey, target); err == nil {
			n.Add(1)
		}
		select {
		case <-time.After(time.Duration(rng.Int64N(int64(100 * time.Millisecond)))): // so that the two sides collide at times, and not always
		case <-storming.Done():
		}
	}
}

// window is the number of packets in flight: fewer than any buffer holds.
const window = 128

// pump sends packets until ctx ends.
func (s *site) pump(ctx context.Context) {
	for ctx.Err() == nil {
		if s.sent.Load()-s.other.received() < window {
			s.send()
			continue
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// send sends the next numbered packet, by both queues in turn.
func (s *site) send() {
	src, dst := [4]byte{10, 1, 0, 1}, [4]byte{10, 2, 0, 1}
	if s.name == "right" {
		src, dst = dst, src
	}
	n := s.sent.Add(1)
	s.queues[int(n)%len(s.queues)].in <- numbered(src, dst, uint32(n))
}

func (s *site) received() (n int64) {
	for _, q := range s.queues {
		n += q.received.Load()
	}
	return n
}

// wantAll waits for all packets of the other side, and checks that none was duplicated or dropped.
func (s *site) wantAll(ctx context.Context, t *testing.T) {
	t.Helper()
	for s.received() < s.other.sent.Load() {
		if ctx.Err() != nil {
			t.Errorf("%s: %d packets came of %d", s.name, s.received(), s.other.sent.Load())
			break
		}
		time.Sleep(time.Millisecond)
	}
	seen := make(map[uint32]bool)
	for _, q := range s.queues {
		q.mu.Lock()
		for _, n := range q.numbers {
			if seen[n] {
				t.Errorf("%s: packet %d came twice", s.name, n)
			}
			seen[n] = true
		}
		q.mu.Unlock()
	}
	for name, n := range s.parts.plane.Counters() {
		// Nothing is lost with batches that one worker took from another, or that wait their turn.
		if n > 0 && name != "ike_datagrams" && !strings.HasPrefix(name, "batches_") {
			t.Errorf("%s: %s = %d", s.name, name, n)
		}
	}
}

// numbered returns a UDP packet that holds n.
func numbered(src, dst [4]byte, n uint32) []byte {
	b := []byte{0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0}
	b = append(append(b, src[:]...), dst[:]...)
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	b = append(b, 0x10, 0, 0x10, 1, 0, 12, 0, 0) // no UDP checksum
	return binary.BigEndian.AppendUint32(b, n)
}

// memQueue is a queue of an in-memory device.
type memQueue struct {
	in       chan []byte
	closed   chan struct{}
	once     sync.Once
	received atomic.Int64

	mu      sync.Mutex
	numbers []uint32
}

func newMemQueue() *memQueue {
	return &memQueue{in: make(chan []byte, window), closed: make(chan struct{})}
}

func (q *memQueue) Read(buf []byte, headroom int, p *gso.Packet) error {
	select {
	case b := <-q.in:
		*p = gso.Packet{Data: buf[headroom : headroom+copy(buf[headroom:], b)]}
		return nil
	case <-q.closed:
		return os.ErrClosed
	}
}

func (q *memQueue) Write(_ *gso.Packet, pieces [][]byte) error {
	b := bytes.Join(pieces, nil)
	q.mu.Lock()
	q.numbers = append(q.numbers, binary.BigEndian.Uint32(b[len(b)-4:]))
	q.mu.Unlock()
	q.received.Add(1)
	return nil
}

func (q *memQueue) FD() int { return -1 }

func (q *memQueue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
