package tun

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unsafe"

	"culvert/internal/packettest"
	"culvert/tun/gso"

	"golang.org/x/sys/unix"
)

// A kernel takes packets with a virtio-net header, and refuses super-packets if set to.
type kernel struct {
	refuses bool
	log     bytes.Buffer
	wrote   [][]byte // the packets that it took, without the header
	calls   int
}

func (k *kernel) writev(_ int, iov []unix.Iovec) unix.Errno {
	k.calls++
	var all []byte
	for _, v := range iov {
		all = append(all, unsafe.Slice(v.Base, v.Len)...)
	}
	if k.refuses && all[1] != unix.VIRTIO_NET_HDR_GSO_NONE {
		return unix.EINVAL
	}
	k.wrote = append(k.wrote, all[gso.VnetLen:])
	return 0
}

// queuesOn returns two queues of one device for which the kernel offers all offloads.
func queuesOn(k *kernel) (a, b *queue) {
	refusals := &gsoRefusals{log: slog.New(slog.NewTextHandler(&k.log, nil))}
	can := gso.Offloads{Checksum: true, TSO: true, USO: true}
	return &queue{vnet: true, can: can, gso: refusals, call: k.writev}, &queue{vnet: true, can: can, gso: refusals, call: k.writev}
}

// super returns the IPv4 packet s as a super-packet with segments of size octets.
func super(s packettest.Sample, size int) *gso.Packet {
	kind := gso.TCPv4
	if s.UDP {
		kind = gso.UDP
	}
	pkt, headers, start, offset := s.Unfinished()
	return &gso.Packet{Data: pkt, GSO: kind, SegSize: uint16(size), HdrLen: uint16(headers),
		NeedsChecksum: true, CsumStart: uint16(start), CsumOffset: uint16(offset)}
}

// The packets of refused super-packets are written one by one. After a few refusals no queue tries
// a super-packet of that protocol again. Refusals are logged once, and counted.
func TestKernelThatRefusesSuperPackets(t *testing.T) {
	for _, udp := range []bool{false, true} {
		k := &kernel{refuses: true}
		a, b := queuesOn(k)
		s := packettest.Sample{UDP: udp, Flags: 0x18, Payload: packettest.RandomBytes(5000)}
		const supers = 200
		for i := range supers {
			q := []*queue{a, b}[i%2]
			p := super(s, 1000)
			if err := q.Write(p, [][]byte{p.Data[:100], p.Data[100:]}); err != nil {
				t.Fatal(err)
			}
		}
		want := s.Cut(1000)
		for i, got := range k.wrote {
			if !bytes.Equal(got, want[i%len(want)]) {
				t.Fatalf("udp=%t: packet %d is not that of the super-packet", udp, i)
			}
		}
		if len(k.wrote) != supers*len(want) || k.calls != supers*len(want)+refusalsToLearn {
			t.Errorf("udp=%t: %d packets in %d calls", udp, len(k.wrote), k.calls)
		}
		if lines := strings.Count(k.log.String(), "refuses super-packets"); lines != 1 || !strings.Contains(k.log.String(), `offloads = \"none\"`) {
			t.Errorf("udp=%t: logged %d times: %s", udp, lines, k.log.String())
		}
		if n := a.gso.count.Load(); n != refusalsToLearn {
			t.Errorf("udp=%t: %d refusals are counted", udp, n)
		}
		if got, want := b.Offloads(), (gso.Offloads{Checksum: true, TSO: udp, USO: !udp}); got != want {
			t.Errorf("udp=%t: offloads %v are left, want %v", udp, got, want)
		}
	}
}

// A kernel that refuses a super-packet now and then is not taken for one that refuses all.
func TestSuperPacketRefusedAlone(t *testing.T) {
	k := &kernel{}
	q, _ := queuesOn(k)
	s := packettest.Sample{Flags: 0x18, Payload: packettest.RandomBytes(3000)}
	for i := range 20 {
		k.refuses = i%refusalsToLearn != 0
		p := super(s, 1000)
		if err := q.Write(p, [][]byte{p.Data}); err != nil {
			t.Fatal(err)
		}
	}
	if !q.Offloads().TSO || k.log.Len() > 0 {
		t.Errorf("offloads %v are left; logged %s", q.Offloads(), k.log.String())
	}
	// A malformed packet is also refused in pieces, and does not count.
	k.refuses = true
	for range 2 * refusalsToLearn {
		if err := q.Write(&gso.Packet{GSO: gso.TCPv4, SegSize: 1000, HdrLen: 40, NeedsChecksum: true, CsumStart: 20, CsumOffset: 16}, [][]byte{make([]byte, 100)}); err == nil {
			t.Error("zeros were written")
		}
	}
	if !q.Offloads().TSO {
		t.Error("the kernel is blamed for a packet that is none")
	}
	plain := &kernel{}
	q.call = func(int, []unix.Iovec) unix.Errno { plain.calls++; return unix.EINVAL }
	if err := q.Write(&gso.Packet{}, [][]byte{s.Build()}); !errors.Is(err, unix.EINVAL) || plain.calls != 1 {
		t.Errorf("an ordinary packet that is refused: %v after %d calls", err, plain.calls)
	}
}

// The device counts refusals under the name in status.
func TestDeviceCountsRefusals(t *testing.T) {
	h := newHost(t)
	d := openIn(t, h, Config{Name: "tn0"})
	for range 5 {
		d.gso.refused(gso.UDP)
	}
	if got := d.Counters()["tun_gso_refused"]; got != 5 {
		t.Errorf("tun_gso_refused = %d, want 5", got)
	}
	if q, ok := d.Queues()[0].(Refuser); !ok || q.Offloads().USO || q.Offloads().TSO != d.Offloads().TSO {
		t.Error("the queue does not tell of it")
	}
}
