package netio

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"

	"golang.org/x/sys/unix"
)

// newDirectPair is newPair whose a also has sockets that send protocol 50 past the IP stack.
func newDirectPair(t testing.TB, workers int) *pair {
	t.Helper()
	p := newPair(t, workers)
	p.netA.Close()
	p.netA = openIn(t, p.a, Config{IKEPort: 500, NATPort: 4500, Workers: workers, Mark: testMark, RawESP: true, FastPath: true})
	if p.netA.hops == nil {
		t.Fatal("nothing is sent past the IP stack")
	}
	_ = carry(p, true) // though nothing is received past it
	return p
}

// direct is the number of packets of a Net past the IP stack.
func direct(n *Net) uint64 { return n.Counters()["net_direct"] }

// mustGoDirect sends datagrams like out until one of them passes by the IP stack.
func mustGoDirect(t testing.TB, n *Net, out Outgoing) {
	t.Helper()
	before := direct(n)
	until(t, "the way past the IP stack to "+out.Path.Remote().Addr().String(), func() bool {
		_ = sendOne(n.Ports()[0], &out)
		return direct(n) != before
	})
}

// until waits for something.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// mustNotGoDirect waits until datagrams like out have no way past the IP stack, and fails if one
// passes by it afterwards.
func mustNotGoDirect(t testing.TB, n *Net, out Outgoing) {
	t.Helper()
	until(t, "the way through the IP stack to "+out.Path.Remote().Addr().String(), func() bool { return asked(t, n, out).hop.Load() == nil })
	before := direct(n)
	for range 3 {
		_ = sendOne(n.Ports()[0], &out)
	}
	if direct(n) != before {
		t.Errorf("to %s: %d were sent past the IP stack", out.Path.Remote().Addr(), direct(n)-before)
	}
}

// asked returns the entry of out's path after the kernel was asked for it.
func asked(t testing.TB, n *Net, out Outgoing) *entry {
	t.Helper()
	k, ok := keyOf(out.Path.Local().Addr(), out.Path.Remote().Addr(), out.TOS)
	if !ok {
		t.Fatalf("%v has no key", out.Path)
	}
	var e *entry
	until(t, "the kernel's answer about "+out.Path.String(), func() bool {
		_ = sendOne(n.Ports()[0], &out)
		if e = n.hops.table.Load().entries[k]; e == nil {
			return false
		}
		n.hops.mu.Lock()
		defer n.hops.mu.Unlock()
		return !e.stale
	})
	return e
}

// espOut returns a datagram of protocol 50 from a to b.
func espOut(v6 bool, size int) Outgoing {
	return Outgoing{Data: espPacket(1000, size), Path: espPath(false, at(addrA[v6], 0), at(addrB[v6], 0))}
}

// empty receives all that waits on a port, and returns the number of packets.
func empty(p Port) (n int) {
	var in Received
	for lookEverywhere(p); p.Recv(nil, &in) == nil; n++ {
	}
	return n
}

// frameLog keeps the frames of protocol 50 that a device received.
type frameLog struct {
	sniffer *netlab.Sniffer
	mu      sync.Mutex
	list    [][]byte
}

func newFrameLog(t testing.TB, h *netlab.Host, dev string) *frameLog {
	t.Helper()
	var l frameLog
	var err error
	l.sniffer, err = h.Sniff(dev, func(f []byte) {
		if len(f) <= headLen || f[12] == 8 && f[23] != unix.IPPROTO_ESP || f[12] == 0x86 && f[20] != unix.IPPROTO_ESP {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = append(l.list, bytes.Clone(f))
	})
	if err != nil {
		t.Fatal(err)
	}
	return &l
}

// during returns the frames that came while f ran.
func (l *frameLog) during(f func()) [][]byte {
	l.sniffer.Sync()
	l.mu.Lock()
	l.list = nil
	l.mu.Unlock()
	f()
	l.sniffer.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list
}

// throughStack sends out by the raw socket.
func throughStack(t *testing.T, p *port, out Outgoing) {
	t.Helper()
	s, err := p.socketFor(&out)
	if err != nil {
		t.Fatal(err)
	}
	b := s.bypass
	s.bypass = nil
	defer func() { s.bypass = b }()
	if err := sendOne(p, &out); err != nil {
		t.Fatal(err)
	}
}
