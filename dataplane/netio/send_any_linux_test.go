package netio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// anyBatch returns a batch more varied than any worker's, in random order: both families, both
// encapsulations, several sources, unreachable destinations, sizes that join and sizes that do not,
// runs, and datagrams that are too big. wanted holds the datagrams that must arrive, by their path,
// and lost the number that must not, for each of outs.
func anyBatch(r *rand.Rand) (outs []Outgoing, wanted map[string][][]byte, lost []int) {
	wanted = map[string][][]byte{}
	buf := make([]byte, 0, 1<<20)
	kind, size, nowhere := r.IntN(8), 100, false
	for i := range 1 + r.IntN(150) {
		if r.IntN(4) == 0 { // else like the one before
			kind, size, nowhere = r.IntN(8), []int{40, 100, 100, 700, 1424, 1700}[r.IntN(6)], r.IntN(8) == 0
		}
		v6, encap, other := kind&1 != 0, kind&2 == 0, kind&4 != 0
		n := size
		if r.IntN(8) == 0 {
			n = 20 + r.IntN(min(size, 1424)-19)
		}
		o := Outgoing{Path: espPath(encap, at(addrA[v6], 4500), at(addrB[v6], 4500)), TOS: uint8(r.IntN(8) / 7 * 0xb8)}
		if other {
			o.Path = o.Path.WithLocal(addrA2[v6])
		}
		total := n
		if r.IntN(5) == 0 {
			o.SegSize, total = n, n*min(1+r.IntN(70), 60000/n)
			if rest := 20 + r.IntN(n); rest < n && n <= 1460 { // an error of one datagram of a run may count for a shorter last one as well
				total += rest
			}
		}
		buf = append(buf, make([]byte, r.IntN(20)/19)...)
		start := len(buf)
		if start+total > cap(buf) {
			break
		}
		buf = append(buf, espPacket(uint32(1000+i), total)...)
		for at := start; at < len(buf); at += n { // each datagram is ESP
			copy(buf[at:min(at+n, len(buf))], []byte{0, 0, byte(1 + i), byte(at), byte(at >> 8), byte(at >> 16)})
		}
		o.Data = buf[start:len(buf):len(buf)]
		gone := 0
		if nowhere { // there is no route
			o.Path = espPath(encap, o.Path.Local(), at(map[bool]netip.Addr{false: netip.MustParseAddr("203.0.113.1"), true: netip.MustParseAddr("2001:db8:ffff::1")}[v6], 4500))
			gone = o.Datagrams()
		} else {
			way := fmt.Sprint(o.Path.Local(), encap, o.TOS)
			for data := o.Data; len(data) > 0; data = data[min(n, len(data)):] {
				if d := data[:min(n, len(data))]; len(d) > 1460 {
					gone++
				} else {
					wanted[way] = append(wanted[way], d)
				}
			}
		}
		outs, lost = append(outs, o), append(lost, gone)
	}
	return outs, wanted, lost
}

// TestSendAnything: in any batch, each datagram arrives intact and in the order of its path, and
// each loss is reported for its own datagram.
func TestSendAnything(t *testing.T) { sendAnything(t, newPair(t, 1)) }

// The same holds past the IP stack, and while packets change between it and the direct way.
func TestSendAnythingDirect(t *testing.T) {
	p := newDirectPair(t, 1)
	for _, v6 := range []bool{false, true} {
		mustGoDirect(t, p.netA, espOut(v6, 100))
	}
	empty(p.netB.Ports()[0])
	before := direct(p.netA)
	sendAnything(t, p)
	if n := direct(p.netA) - before; n < 1000 {
		t.Errorf("only %d packets were sent past the IP stack", n)
	}
}

func sendAnything(t *testing.T, p *pair) {
	for _, v6 := range []bool{false, true} { // until the neighbour is known, the kernel queues only a few packets for it
		outs, all := laidOut(v6, true, 4500, 100)
		p.netA.Ports()[0].Send(outs)
		collect(t, p.netB.Ports()[0], len(all))
	}
	for seed := range uint64(60) {
		outs, wanted, lost := anyBatch(rand.New(rand.NewPCG(seed, 1)))
		visitAll(p.netA)
		p.netA.Ports()[0].Send(outs)
		for i := range outs {
			if outs[i].Lost != lost[i] || (outs[i].Err == nil) != (lost[i] == 0) {
				t.Errorf("seed %d: %d (%d octets by %d to %s): lost %d of %d, want %d: %v", seed, i, len(outs[i].Data), outs[i].SegSize, outs[i].Path.Remote(), outs[i].Lost, outs[i].Datagrams(), lost[i], outs[i].Err)
			}
		}
		arrive(t, p.netB.Ports()[0], wanted)
		if t.Failed() {
			return
		}
	}
}

// visitAll makes the next datagram of each path go through the IP stack.
func visitAll(n *Net) {
	if n.hops == nil {
		return
	}
	for _, e := range n.hops.table.Load().entries {
		e.due.Store(0)
	}
}

// arrive receives the wanted datagrams, and no others.
func arrive(t *testing.T, port Port, wanted map[string][][]byte) {
	t.Helper()
	left := 0
	for _, list := range wanted {
		left += len(list)
	}
	buf := make([]byte, 65535)
	var in Received
	for left > 0 {
		if err := port.Recv(buf, &in); err != nil {
			if !poll(port, 5*time.Second) {
				t.Fatalf("%d datagrams did not arrive: %v", left, err)
			}
			continue
		}
		size := in.SegSize
		if size == 0 {
			size = len(in.Data)
		}
		way := fmt.Sprint(in.Path.Remote(), in.Path.Encapsulated(), in.TOS)
		for data := in.Data; len(data) > 0; data = data[min(size, len(data)):] {
			list := wanted[way]
			if len(list) == 0 || !bytes.Equal(list[0], data[:min(size, len(data))]) {
				t.Fatalf("%s: a datagram of %d octets that is not the next of %d", way, min(size, len(data)), len(list))
			}
			wanted[way] = list[1:]
			left--
		}
	}
	mustBeDry(t, port, buf)
}
