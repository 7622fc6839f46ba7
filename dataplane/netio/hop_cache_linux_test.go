package netio

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

// idleCache is a cache whose goroutines do not run.
func idleCache(t *testing.T) *hopCache {
	t.Helper()
	h, err := openHopCache(testMark, func(int) bool { return true }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// put makes the table of these entries.
func put(h *hopCache, list ...*entry) {
	entries := make(map[hopKey]*entry)
	for _, e := range list {
		entries[e.key] = e
	}
	h.table.Store(&hopTable{entries})
}

func testKey(i int) hopKey {
	return hopKey{addrA[false], netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 0}
}

// TestKeysThatWait: all keys that wait are added at once, no more than the table has room for, and
// a worker that finds no room to ask goes on.
func TestKeysThatWait(t *testing.T) {
	h := idleCache(t)
	for i := range 2 * cap(h.asks) {
		h.want(testKey(i))
	}
	h.add(<-h.asks)
	if n := len(h.table.Load().entries); n != cap(h.asks) {
		t.Errorf("%d keys, want %d", n, cap(h.asks))
	}
	list := make([]*entry, maxEntries-1)
	for i := range list {
		list[i] = &entry{key: testKey(i)}
	}
	put(h, list...)
	h.want(testKey(maxEntries))
	h.add(testKey(maxEntries + 1))
	if table := h.table.Load().entries; len(table) != maxEntries || table[testKey(maxEntries+1)] == nil || table[testKey(0)] != list[0] {
		t.Errorf("%d keys, want %d; one that was known is another", len(table), maxEntries)
	}
	list[0].hop.Store(&hop{})
	list[2].fixed = true
	h.want(testKey(1))
	h.want(testKey(2))
	if h.add(testKey(0)); list[0].stale || !list[1].stale || list[2].stale || list[3].stale {
		t.Error("asked again is not what has no hop and may get one")
	}
}

// TestKeysAreForgotten: those without packets, and the others are asked again.
func TestKeysAreForgotten(t *testing.T) {
	h := idleCache(t)
	used, idle := &entry{key: testKey(1)}, &entry{key: testKey(2)}
	put(h, used, idle)
	now := int64(10 * askAgain)
	used.visits(now - int64(time.Second))
	idle.visits(now - 2*int64(askAgain))
	h.forget(now)
	if table := h.table.Load().entries; len(table) != 1 || table[used.key] != used || !used.stale {
		t.Errorf("left are %v", table)
	}
}

// TestDropWakes: what matches is dropped, and asked again.
func TestDropWakes(t *testing.T) {
	h := idleCache(t)
	one, other := &entry{key: testKey(1)}, &entry{key: testKey(2)}
	put(h, one, other)
	one.hop.Store(&hop{})
	other.hop.Store(&hop{})
	h.drop(func(*entry) bool { return false })
	if len(h.wake) != 0 {
		t.Error("nothing was dropped, and the kernel is asked")
	}
	for range 2 {
		h.drop(func(e *entry) bool { return e == one })
	}
	if len(h.wake) != 1 || one.hop.Load() != nil || !one.stale || other.hop.Load() == nil || other.stale {
		t.Error("dropped were others, or nobody asks")
	}
	h.refresh() // there is no such route
	if one.stale || one.hop.Load() != nil {
		t.Errorf("after the question: %+v", one)
	}
}

// TestDoubtDoesNotWait: a worker drops what leads to a device, unless it had to wait for that.
func TestDoubtDoesNotWait(t *testing.T) {
	h := idleCache(t)
	e := &entry{key: testKey(1), link: 3}
	e.hop.Store(&hop{})
	put(h, e)
	h.mu.Lock()
	h.doubt(3)
	h.mu.Unlock()
	h.doubt(4)
	if e.stale {
		t.Error("it was dropped by who had to wait, or by another device")
	}
	if h.doubt(3); !e.stale || e.hop.Load() != nil {
		t.Error("it was not dropped")
	}
}

// TestRoutesChangeUnderLoad: while packets are sent, routes lead from one link to the other and
// back. All arrive, and pass by the IP stack again after each change.
func TestRoutesChangeUnderLoad(t *testing.T) {
	p := newDirectPair(t, 1)
	twoLinks(t, p)
	rx := p.netB.Ports()[0]
	for _, v6 := range []bool{false, true} {
		change := func(round int) (link int) {
			name, via := "nn0", viaNN0[v6]
			if round%2 == 1 {
				name, via = "nn1", viaNN1[v6]
			}
			if err := p.a.Route(behind[v6], via, 0); err != nil {
				t.Fatal(err)
			}
			return linkIndex(t, p, name)
		}
		sent, came := 0, 0
		goesBy := func(link int) bool {
			outs := make([]Outgoing, 20)
			for i := range outs {
				outs[i] = farOut(v6)
			}
			before := direct(p.netA)
			e := asked(t, p.netA, outs[0])
			p.netA.Ports()[0].Send(outs)
			for i := range outs {
				if outs[i].Err != nil {
					t.Fatalf("v6=%t: %v", v6, outs[i].Err)
				}
			}
			sent += len(outs)
			came += empty(rx)
			h := e.hop.Load()
			return h != nil && int(h.name.Ifindex) == link && direct(p.netA) > before
		}
		for round := range 22 {
			if round == 2 { // both neighbours are known; before that the kernel keeps only some packets
				sent, came = 0, 0
				empty(rx)
			}
			link := change(round)
			until(t, "the way by the other link", func() bool { return goesBy(link) })
		}
		for came < sent && poll(rx, 5*time.Second) {
			came += empty(rx)
		}
		if came < sent {
			t.Errorf("v6=%t: of %d packets %d came", v6, sent, came)
		}
	}
}

// TestManyPaths: those of several peers, sources and codepoints each have their own way.
func TestManyPaths(t *testing.T) {
	p := newDirectPair(t, 2)
	for i, to := range []netip.Addr{addrB[false], addrB2[false], addrB[true], addrB2[true]} {
		from := addrA[to.Is6()]
		if i%2 == 1 {
			from = addrA2[to.Is6()]
		}
		for _, tos := range []uint8{0, 1, 0xb8} {
			out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(from, 0), at(to, 0)), TOS: tos}
			mustGoDirect(t, p.netA, out)
		}
	}
	if n := len(p.netA.hops.table.Load().entries); n != 8 { // the ECN field does not count
		t.Errorf("%d keys, want 8", n)
	}
}

// TestFullTableIsNotAsked: a key that the table has no room for costs no question: each would have
// the table copied.
func TestFullTableIsNotAsked(t *testing.T) {
	h := idleCache(t)
	list := make([]*entry, maxEntries)
	for i := range list {
		list[i] = &entry{key: testKey(i)}
	}
	put(h, list...)
	p := &port{hops: h}
	if e := p.entry(&Outgoing{Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}); e != nil || len(h.asks) != 0 {
		t.Errorf("the entry is %v, and %d keys wait", e, len(h.asks))
	}
}
