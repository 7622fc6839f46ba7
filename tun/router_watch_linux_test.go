package tun

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	var told []uint16
	for len(told) < 3 {
		b, err := w.read(time.Now().Add(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, wantTheirs(t, b, theirs.c.port)...)
	}
	if want := []uint16{unix.RTM_NEWRULE, unix.RTM_NEWROUTE, unix.RTM_DELROUTE}; !slices.Equal(told, want) {
		t.Errorf("told of the kinds %d, want %d", told, want)
	}
	b, err := w.read(time.Now())
	if more := wantTheirs(t, b, theirs.c.port); len(more) != 0 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("told of the kinds %d besides, error %v", more, err)
	}
}

// wantTheirs returns the kinds of notices, all of which must be of changes that a port requested.
// The kernel's own are passed over, such as that of an IPv6 address that has become usable.
func wantTheirs(t *testing.T, b []byte, port uint32) (kinds []uint16) {
	t.Helper()
	for m := range messages(b) {
		switch m.port {
		case 0:
		case port:
			kinds = append(kinds, m.kind)
		default:
			t.Errorf("told of kind %d by %d, want by %d", m.kind, m.port, port)
		}
	}
	return kinds
}
