package dataplane

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/tun"
)

// narrowPath loses what a sends and is larger than an MTU of a whole outer packet. It counts the
// probes among it, which have no TOS.
type narrowPath struct {
	mtu  atomic.Int64
	lost atomic.Uint64
	data atomic.Uint64 // likewise lost
}

var errLost = errors.New("lost on the way")

func (n *narrowPath) between(a *gateway) {
	a.ports[0].sending(func(o *netio.Outgoing) error {
		if outer := gcmFormat.OuterLen(0, o.Path.Is6(), o.Path.Encapsulated()) - gcmFormat.SealedLen(0); outer+len(o.Data) > int(n.mtu.Load()) {
			if o.TOS == 0 {
				n.lost.Add(1)
			} else {
				n.data.Add(1)
			}
			return errLost
		}
		return nil
	})
}

// probing is two gateways that probe, with a virtual clock, and a path of an MTU from a to b.
func probing(t *testing.T, mtu int, change func(*Config)) (a, b *gateway, path *narrowPath) {
	t.Helper()
	a, b = twoGateways(t, 1, func(c *Config) {
		c.Probe = true
		if change != nil {
			change(c)
		}
	})
	path = &narrowPath{}
	path.mtu.Store(int64(mtu))
	path.between(a)
	a.clock.Store(time.Unix(1000, 0).UnixNano())
	b.clock.Store(time.Unix(1000, 0).UnixNano())
	return a, b, path
}

// settle waits until what a has sent is answered, as far as it passed.
func (g *gateway) settle(t *testing.T, path *narrowPath) {
	t.Helper()
	eventually(t, "every probe that passes is answered", func() bool {
		c := g.Counters()
		return c["pmtu_answers"]+path.lost.Load() == c["pmtu_probes"] && len(g.dummies) == 0
	})
}

// pass lets time go by, second after second.
func (g *gateway) pass(t *testing.T, path *narrowPath, seconds int) {
	t.Helper()
	for range seconds {
		g.settle(t, path)
		g.clock.Add(int64(time.Second))
		g.searchPaths()
	}
	g.settle(t, path)
}

// noticesUse waits until what was sent on an SA is known to the control goroutine.
func (g *gateway) noticesUse(t *testing.T, id ipsec.ChildID) {
	t.Helper()
	eventually(t, "the use is noticed", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.pairs[id].path.checkAt != 0
	})
}

func (g *gateway) wantMTU(t *testing.T, id ipsec.ChildID, want int) {
	t.Helper()
	if st, _ := g.ChildStats(id); st.MTU != want {
		t.Errorf("SA %d: MTU %d, want %d", id, st.MTU, want)
	}
}

// Who sees the SPI can make many small changes. They do not fill the log.
func TestPathChangesDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	a := newGateway(t, 1, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	sa := childSA(t, a, a, 1)
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	for second := range 3 {
		a.clock.Store(time.Unix(1000+int64(second), 0).UnixNano())
		for i := range 100 {
			a.pathTooBig(netio.TooBig{Path: ipsec.NATPath(outerA, outerB), SPI: sa.SPIOut, MTU: 1499 - 100*second - i})
		}
	}
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1200, false, true))
	if n := strings.Count(log.String(), "path MTU has changed"); n != 3 {
		t.Errorf("%d lines in three seconds:\n%s", n, log.String())
	}
}

func TestPathThatNarrows(t *testing.T) {
	path := make(chan int, 1)
	path <- 1500
	a, b := twoGateways(t, 1, func(c *Config) {
		c.LinkMTU = func(_, _ netip.Addr) int { m := <-path; path <- m; return m }
	})
	install(t, a, b, childSA(t, a, b, 1))
	<-path
	path <- 1300
	a.ports[0].sending(func(o *netio.Outgoing) error {
		if len(o.Data)+28 > 1300 {
			return netio.ErrTooBig
		}
		return nil
	})
	big := udpPacket(src4, dst4, true, make([]byte, 1400))
	a.queues[0].inject(big)
	eventually(t, "the SA's MTU follows", func() bool { st, _ := a.ChildStats(1); return st.MTU == gcmFormat.InnerMTU(1300, false, true) })
	a.queues[0].inject(big)
	if _, _, mtu := checkICMP(t, a.queues[0].want(t), big); mtu != gcmFormat.InnerMTU(1300, false, true) {
		t.Errorf("MTU %d", mtu)
	}
	a.wantCounter(t, "out_too_big", 2)
	a.ports[0].sending(func(*netio.Outgoing) error { return tun.ErrWouldBlock })
	a.queues[0].inject(udpPacket(src4, dst4, true, nil))
	a.wantCounter(t, "out_send_errors", 1)
}
