package netio

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeRing is a ring that a test fills as the program does.
type fakeRing struct{ *ring }

func newFakeRing(t *testing.T) fakeRing {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_SHARED) // aligned
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return fakeRing{newRing(mem)}
}

// put puts a packet into the ring, if there is room, and reports whether it rang the bell.
func (r fakeRing) put(t *testing.T, data []byte) (rang bool) {
	t.Helper()
	head := word(r.mem, ringHead)
	number := head.Load()
	s := r.slot(number)
	if s.number().Load() != number {
		t.Fatalf("there is no room for packet %d", number)
	}
	head.Store(number + 1)
	binary.NativeEndian.PutUint32(s[slotLen:], uint32(copy(s[slotData:], data)))
	s[slotTOS] = 3
	src, dst := addrA[false].As16(), addrB[false].As16()
	copy(s[slotSrc:], src[:])
	copy(s[slotDst:], dst[:])
	s.number().Store(number + 1)
	return word(r.mem, ringAwake).Swap(1) == 0
}

// Packets come once, in order, in bursts, at any fill; a burst is freed when it has ended,
// whichever ends first.
func TestRingKeepsOrder(t *testing.T) {
	r := newFakeRing(t)
	var bursts [2]ringBurst
	sent, came := uint32(0), uint32(0)
	for round := range 200 {
		for n := round * 37 % (ringSlots - 2*burstDatagrams); n > 0; n-- {
			r.put(t, espPacket(sent, 60))
			sent++
		}
		for k := 0; came < sent; k++ {
			b := &bursts[(round+k)%2] // the one before is still in use
			b.finish()
			if r.doze() {
				t.Fatalf("after %d of %d packets there is none", came, sent)
			}
			b.take(r.ring, burstDatagrams)
			held := map[uint32][]byte{}
			for b.more() {
				var in Received
				b.next(&in)
				if in.More != b.more() || in.TOS != 3 || in.Path != espPath(false, at(addrB[false], 0), at(addrA[false], 0)) {
					t.Fatalf("packet %d: %+v", came, in)
				}
				held[came] = in.Data
				came++
			}
			if len(held) > burstDatagrams {
				t.Fatalf("a burst of %d", len(held))
			}
			for n, data := range held {
				if !bytes.Equal(data, espPacket(n, 60)) {
					t.Fatalf("packet %d is another", n)
				}
			}
		}
		if !r.doze() {
			t.Fatal("there are more than were sent")
		}
	}
}

// The bell rings for the first packet after the ring was found dry, and for no other.
func TestRingBell(t *testing.T) {
	r := newFakeRing(t)
	if !r.put(t, espPacket(1, 60)) || r.put(t, espPacket(1, 60)) {
		t.Error("the bell does not ring for the first packet alone")
	}
	if r.put(t, espPacket(1, 60)) || r.doze() {
		t.Error("the packets are gone")
	}
	var b ringBurst
	if b.take(r.ring, burstDatagrams); b.end != 3 || !r.doze() {
		t.Errorf("%d packets were taken, want 3", b.end)
	}
	b.finish()
	if !r.put(t, espPacket(1, 60)) {
		t.Error("the bell does not ring after the ring was dry")
	}
	if word(r.mem, ringFull).Store(7); r.full() != 7 {
		t.Errorf("%d are lost", r.full())
	}
}
