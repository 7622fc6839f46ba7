package tun

import (
	"fmt"
	"sync"
	"testing"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// A list that changes during the dump is requested again until it is consistent.
func TestListsAreWhole(t *testing.T) {
	h, d := newGateway(t)
	r := routerIn(t, h, RouteConfig{Device: d})
	link, err := h.Netlink().LinkByName("tlan")
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) *netlink.Addr {
		a, _ := netlink.ParseAddr(fmt.Sprintf("10.66.%d.%d/32", i>>8, i&0xff))
		return a
	}
	const addrs = 600 // more than one answer of the kernel holds
	for i := range addrs {
		if err := h.Netlink().AddrAdd(link, addr(i)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { churn(t, h, link, addr(0), done) })
	for i := range 300 {
		r.mu.Lock()
		err := r.listAddrs()
		n := len(r.hosts)
		r.mu.Unlock()
		if err != nil || n < addrs {
			t.Errorf("list %d: %d addresses, %v", i, n, err)
			break
		}
		r.mustBecome(policy("10.2.0.0/16", "10.1.0.0/16"))
	}
	close(done)
	wg.Wait()
}

// churn removes and adds an address until done.
func churn(t *testing.T, h *netlab.Host, link netlink.Link, a *netlink.Addr, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if err := h.Netlink().AddrDel(link, a); err != nil {
			t.Error(err)
			return
		}
		if err := h.Netlink().AddrAdd(link, a); err != nil {
			t.Error(err)
			return
		}
	}
}
