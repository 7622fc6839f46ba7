package tun

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// needLab makes a lab, or skips; where the tests are meant to be complete, a skip is a failure.
func needLab(t *testing.T) *netlab.Lab {
	t.Helper()
	lab, err := netlab.New()
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("CULVERT_E2E") == "1" {
			t.Fatalf("no network namespaces: %v", err)
		}
		t.Skipf("no network namespaces: %v", err)
	}
	t.Cleanup(lab.Close)
	return lab
}

func newHost(t *testing.T) *netlab.Host {
	t.Helper()
	h, err := needLab(t).Host("tn-a")
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

func routerIn(t *testing.T, h *netlab.Host, cfg RouteConfig) *Router {
	t.Helper()
	var r *Router
	if err := h.Do(func() (err error) { r, err = NewRouter(cfg); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// lookup is a route look-up; empty fields are left out.
type lookup struct {
	to, from, iif string
	mark          uint32
}

// route asks the kernel: the device, the source it would choose, and the MTU metric. "none": there is no route.
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

// rulesAndRoutes lists what of ours is in the kernel.
func rulesAndRoutes(t *testing.T, h *netlab.Host, table int) (out []string) {
	t.Helper()
	for _, family := range families {
		rules, err := h.Netlink().RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Protocol == routeProtocol {
				out = append(out, fmt.Sprint("rule ", r.Priority, r.Src, r.Table, r.Goto))
			}
		}
		for _, tab := range []int{table, table + 1} {
			routes, err := h.Netlink().RouteListFiltered(family, &netlink.Route{Table: tab}, netlink.RT_FILTER_TABLE)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range routes {
				out = append(out, fmt.Sprint("route ", r.Dst, tab, r.Type))
			}
		}
	}
	return out
}

// eventually waits for cond: for what the kernel or a goroutine does in its own time.
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
