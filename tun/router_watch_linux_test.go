package tun

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Beyond the bound events are not recorded, and everything is compared.
func TestEventsAreBounded(t *testing.T) {
	r := &Router{table: first, plan: newPlan(nil, false)}
	var e events
	e.reset()
	for i := range 2 * maxEvents {
		k := kernelRoute{table: first + 1, dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		m := k.append(nil, unix.RTM_DELROUTE, 0)
		complete(m, 0, 0)
		for m := range messages(m) {
			r.note(&e, m, nil)
		}
	}
	if len(e.routes) != maxEvents || !e.full() {
		t.Errorf("%d events are remembered of %d", len(e.routes), maxEvents)
	}
}

// The kernel sends no notices of our own requests, nor of routes in the system's tables.
func TestOwnChangesAreNotTold(t *testing.T) {
	h, d := newGateway(t)
	ours := &others{t, h, kernelIn(t, h)}
	theirs := &others{t, h, kernelIn(t, h)}
	var w *watcher
	if err := h.Do(func() (err error) { w, err = watch(ours.c.port); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	route := func(table uint32) *kernelRoute {
		return &kernelRoute{table: table, dst: netip.MustParsePrefix("10.77.0.0/16"), metric: 7, kind: unix.RTN_UNICAST, protocol: 5, oif: uint32(d.Index())}
	}
	for _, who := range []*others{ours, theirs} {
		who.change(unix.RTM_NEWRULE, unix.NLM_F_CREATE, &kernelRule{prio: 700 + who.c.port%7, action: unix.FR_ACT_TO_TBL, table: 300})
		who.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, route(unix.RT_TABLE_MAIN))
		who.change(unix.RTM_DELROUTE, 0, route(unix.RT_TABLE_MAIN))
		who.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, route(300))
		who.change(unix.RTM_DELROUTE, 0, route(300))
	}
	for _, want := range []uint16{unix.RTM_NEWRULE, unix.RTM_NEWROUTE, unix.RTM_DELROUTE} {
		b, err := w.read(time.Now().Add(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range messages(b) {
			if m.kind != want || m.port != theirs.c.port {
				t.Errorf("told of kind %d by %d, want kind %d by %d", m.kind, m.port, want, theirs.c.port)
			}
		}
	}
	if _, err := w.read(time.Now()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("there is more: %v", err)
	}
}
