package tun

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
	"culvert/tun/protect"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func newHost(t *testing.T) *netlab.Host {
	t.Helper()
	h, err := netlab.Need(t).Host("tn-a")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openIn(t *testing.T, h *netlab.Host, cfg Config) *Device {
	t.Helper()
	d, err := tryOpen(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func tryOpen(h *netlab.Host, cfg Config) (d *Device, err error) {
	err = h.Do(func() error {
		d, err = Open(cfg)
		return err
	})
	return d, err
}

// A testRouter is a router in a host, with the policies that it follows.
type testRouter struct {
	*Router
	t   *testing.T
	set *protect.Set
}

func routerIn(t *testing.T, h *netlab.Host, cfg RouteConfig) *testRouter {
	t.Helper()
	if cfg.Mark == (protect.Mark{}) {
		cfg.Mark = testMark
	}
	var r *Router
	if err := h.Do(func() (err error) { r, err = NewRouter(cfg); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(false) })
	return &testRouter{r, t, protect.NewSet()}
}

// policy returns a policy that protects remote for the local networks. become sets its ID.
func policy(remote string, local ...string) protect.Policy {
	return protect.Policy{Remote: prefixes(remote), Local: prefixes(local...)}
}

// become replaces the policies in force. The ID of each is its index.
func (r *testRouter) become(ps ...protect.Policy) error {
	for i := range ps {
		ps[i].ID = protect.ID(i)
	}
	return r.Apply(r.set.Change(ps, r.set.IDs()))
}

func (r *testRouter) mustBecome(ps ...protect.Policy) {
	r.t.Helper()
	if err := r.become(ps...); err != nil {
		r.t.Fatal(err)
	}
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// A lookup is a route look-up. Empty fields are omitted.
type lookup struct {
	to, from, iif string
	mark          uint32
}

// route returns the device, the source and the MTU metric of the kernel's route. Without a route
// the device is "none".
func route(t *testing.T, h *netlab.Host, l lookup) (dev, src string, mtu int) {
	t.Helper()
	opts := &netlink.RouteGetOptions{Mark: l.mark, Iif: l.iif}
	if l.from != "" {
		opts.SrcAddr = netip.MustParseAddr(l.from).AsSlice()
	}
	routes, err := h.Netlink().RouteGetWithOptions(netip.MustParseAddr(l.to).AsSlice(), opts)
	if err != nil || len(routes) == 0 {
		return "none", "", 0
	}
	link, err := h.Netlink().LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		t.Fatal(err)
	}
	if routes[0].Src != nil {
		src = routes[0].Src.String()
	}
	return link.Attrs().Name, src, routes[0].MTU
}

// kernelIn opens a socket for requests in a host.
func kernelIn(t *testing.T, h *netlab.Host) *conn {
	t.Helper()
	var c *conn
	if err := h.Do(func() (err error) { c, err = dial(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// ours lists culvert's rules and routes in the kernel.
func ours(t *testing.T, h *netlab.Host) (out []string) {
	t.Helper()
	c := kernelIn(t, h)
	rules, err := listRules(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rules {
		if k.protocol == routeProtocol {
			out = append(out, fmt.Sprint("rule ", k))
		}
	}
	for _, v6 := range []bool{false, true} {
		ask := func(b []byte) []byte {
			return header(b, unix.RTM_GETROUTE, 0, append([]byte{familyOf(v6)}, make([]byte, unix.SizeofRtMsg-1)...)...)
		}
		n := len(out)
		err := c.dump(ask, func() { out = out[:n] }, func(m message) {
			if k, ok := parseRoute(m.body); ok && k.protocol == routeProtocol {
				out = append(out, fmt.Sprintf("route %d %v kind %d metric %d via %v src %v", k.table, k.dst, k.kind, k.metric, k.via, k.src))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

// eventually waits until cond is true, for asynchronous work of the kernel or a goroutine.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-tick.C {
		if cond() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// logged is a log that tests read.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
