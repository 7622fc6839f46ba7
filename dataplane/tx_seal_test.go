package dataplane

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun/gso"
)

// numbered is n packets of one flow, from number first on.
func numbered(first, n int) (list []gso.Packet) {
	for i := first; i < first+n; i++ {
		list = append(list, gso.Packet{Data: udpPacket(src4, dst4, true, binary.BigEndian.AppendUint32(nil, uint32(i)))})
	}
	return list
}

// kind is the number of a packet of numbered, or minus what else it is.
func kind(pkt []byte) int {
	switch {
	case pkt[0]>>4 == 6:
		return -41
	case pkt[9] == 17 && len(pkt) == 32:
		return int(binary.BigEndian.Uint32(pkt[28:]))
	}
	return -int(pkt[9])
}

func upTo(first, last int) (list []int) {
	for i := first; i < last; i++ {
		list = append(list, i)
	}
	return list
}

// TestSmallPacketsOfOneSA: what two workers read at once leaves in one call each, though they send
// on the same SA.
func TestSmallPacketsOfOneSA(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	for _, q := range a.queues {
		q.in.put(nil, numbered(0, cyclePackets)...)
	}
	eventually(t, "all have come", func() bool { return len(b.queues[0].out)+len(b.queues[1].out) == 2*cyclePackets })
	for i, p := range a.ports {
		p.mu.Lock()
		if p.calls != 1 {
			t.Errorf("worker %d sent %d packets in %d calls", i, cyclePackets, p.calls)
		}
		p.mu.Unlock()
	}
}

// TestTxBatchIsInOrder: whatever else comes between small packets, what is read first is sent
// first, as it should be wrapped.
func TestTxBatchIsInOrder(t *testing.T) {
	a, b, _ := tunnel(t, 2)
	list := numbered(0, 10)
	list = append(list, superPacket(src4, dst4, 1, make([]byte, 5000), 1000))
	list = append(list, numbered(10, 10)...)
	list = append(list, gso.Packet{Data: udpPacket(src4, dst4, false, make([]byte, 3000))}) // to be fragmented
	list = append(list, numbered(20, 10)...)
	list = append(list, gso.Packet{Data: udpPacket(src6, dst6, false, []byte("IPv6"))})
	for i := range 10 {
		marked := numbered(30+i, 1)
		marked[0].Data[1] = uint8(i) << 2 // each with another DSCP; the checksum is nobody's business
		list = append(list, marked...)
	}
	var mu sync.Mutex
	var tos []uint8
	for _, p := range a.ports {
		p.wiretap(func(o *netio.Outgoing) {
			mu.Lock()
			defer mu.Unlock()
			tos = append(tos, o.TOS)
		})
	}
	want := slices.Concat(upTo(0, 10), slices.Repeat([]int{-6}, 5), upTo(10, 20), slices.Repeat([]int{-17}, 3), upTo(20, 30), []int{-41}, upTo(30, 40))
	a.queues[0].in.put(nil, list...)
	var got []int
	for range want {
		got = append(got, kind(b.queues[0].want(t)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent   %v\nwant   %v", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, got := range tos[len(tos)-10:] {
		if got != uint8(i)<<2 {
			t.Errorf("packet %d was sent with TOS %#x", 30+i, got)
		}
	}
}

// TestTxBatchAtTheEndOfAnSA: of packets that were read together an SA carries as many as its limit
// lets it, and the others wait for the next one.
func TestTxBatchAtTheEndOfAnSA(t *testing.T) {
	const most, came = 10, 30
	a, b := twoGateways(t, 2, nil)
	sa := childSA(t, a, b, 1)
	sa.Limits = esp.Limits{HardPackets: most}
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	sa.Limits = esp.Limits{}
	if err := b.InstallInbound(mirror(sa)); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(1)
	a.queues[0].in.put(nil, numbered(0, came)...)
	take := func(first, last int) {
		t.Helper()
		for want := first; want < last; want++ {
			if got := kind(b.queues[0].want(t)); got != want {
				t.Errorf("number %d, want %d", got, want)
			}
		}
	}
	take(0, most)
	eventually(t, "another SA is asked for", func() bool {
		return slices.ContainsFunc(a.Drain(), func(e ipsec.Event) bool { return e.Kind == ipsec.EventAcquire })
	})
	if st, _ := a.ChildStats(1); st.PacketsOut != most {
		t.Errorf("%d packets were sent, want %d", st.PacketsOut, most)
	}
	b.queues[0].wantIdle(t)
	install(t, a, b, childSA(t, a, b, 2))
	take(most, came)
}

func TestSegmentsAreSealedWithoutACopy(t *testing.T) {
	data := make([]byte, 100, 110)
	if got := withTailroom(data[20:60:60], data, 60); cap(got) != 90 || len(got) != 40 || &got[0] != &data[20] {
		t.Errorf("a segment has room for %d octets", cap(got))
	}
	for _, end := range []int{59, 61, 10, 111} { // not where it is thought to be: left as it is
		if got := withTailroom(data[20:60:60], data, end); cap(got) != 40 || &got[0] != &data[20] {
			t.Errorf("end %d: another slice", end)
		}
	}
}
