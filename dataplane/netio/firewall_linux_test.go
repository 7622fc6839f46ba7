package netio

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// lines is the log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count returns the number of lines that contain all the words.
func (l *lines) count(words ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		n++
	}
	return n
}

// TestFirewallThatRefuses: ESP and IKE packets that a packet filter of this host drops have an
// error of their own that names the mark, and are counted and logged once.
func TestFirewallThatRefuses(t *testing.T) {
	p := newPair(t, 1)
	var log lines
	n := openIn(t, p.a, Config{IKEPort: 1500, NATPort: 14500, Workers: 1, Mark: testMark, RawESP: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := p.a.Block("meta mark 0x4303"); err != nil {
		t.Fatal(err)
	}
	var want uint64
	each(t, func(t *testing.T, v6, encap bool, port uint16) {
		if encap {
			port = 14500
		}
		outs, _ := laidOut(v6, encap, port, times(20, 100)...)
		n.Ports()[0].Send(outs)
		for i := range outs {
			if outs[i].Lost != 1 || !errors.Is(outs[i].Err, errRefused) || Obstacle(outs[i].Err) != ipsec.ObstacleFirewall {
				t.Fatalf("datagram %d: lost %d, %v", i, outs[i].Lost, outs[i].Err)
			}
		}
		want += uint64(len(outs))
		for _, nat := range []bool{true, false} {
			err := n.SendIKE(ikePath(nat, at(addrA[v6], 0), at(addrB[v6], 500)), make([]byte, 100))
			var told *ipsec.SendError
			if !errors.As(err, &told) || told.Why != ipsec.ObstacleFirewall || !strings.Contains(err.Error(), "firewall of this host") || !strings.Contains(err.Error(), "0x4303") {
				t.Errorf("IKE: %v", err)
			}
			want++
		}
	})
	if got := n.Counters()["net_send_refused"]; got != want {
		t.Errorf("net_send_refused = %d, want %d", got, want)
	}
	if got := n.Counters()["net_send_errors"]; got != 0 {
		t.Errorf("net_send_errors = %d: they are counted twice", got)
	}
	if got := log.count("firewall of this host", "0x4303"); got != 1 {
		t.Errorf("it was said %d times", got)
	}
	if err := p.a.Unblock(); err != nil {
		t.Fatal(err)
	}
	outs, _ := laidOut(false, true, 14500, 100)
	if err := sendOne(n.Ports()[0], &outs[0]); err != nil {
		t.Errorf("after the firewall has gone: %v", err)
	}
}

// TestRefusedIsSaidAgain: a log line about once a minute, with the number of refusals.
func TestRefusedIsSaidAgain(t *testing.T) {
	var log lines
	f := &firewall{log: slog.New(slog.NewTextHandler(&log, nil))}
	begun := time.Unix(1_000_000, 0)
	for s := range 150 {
		f.note(2, netip.AddrPortFrom(addrB[false], 4500), begun.Add(time.Duration(s)*time.Second))
	}
	if got := log.count("firewall"); got != 3 {
		t.Errorf("said %d times in 150 seconds, want 3", got)
	}
	if log.count("refused=242") != 1 || f.refused.Load() != 300 {
		t.Errorf("%d were refused; said\n%s", f.refused.Load(), log.text.String())
	}
}
