package esp

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// pair is an SA whose two directions are the same: what its Outbound seals its Inbound opens.
func pair(c Cipher, esn bool, window int) *SA {
	key := make([]byte, c.KeyLen())
	for i := range key {
		key[i] = byte(i*7 + 1)
	}
	return &SA{SPI: 0xc0ffee01, Key: key, Cipher: c, ESN: esn, ReplayWindow: window}
}

var aes128 = Cipher{ID: AESGCM16, KeyBits: 128}

func mustOut(t testing.TB, sa *SA) *Outbound {
	t.Helper()
	o, err := NewOutbound(sa)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustIn(t testing.TB, sa *SA) *Inbound {
	t.Helper()
	in, err := NewInbound(sa)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// text is a payload of n octets, no two alike nearby.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*13 + i>>8)
	}
	return b
}

func TestSealOpenEveryLength(t *testing.T) {
	for _, c := range allCiphers() {
		for _, esn := range []bool{false, true} {
			sa := pair(c, esn, 64)
			o, in := mustOut(t, sa), mustIn(t, sa)
			var s Scratch
			for n := range 300 {
				seq, _, err := o.Reserve(1, n)
				if err != nil {
					t.Fatal(err)
				}
				pkt := o.Seal(&s, make([]byte, n+MaxOverhead), seq, text(n), NextIPv4)
				f := c.Format()
				if len(pkt) != f.SealedLen(n) || (len(pkt)-f.Headroom()-int(f.ICV))%int(f.Align) != 0 || len(pkt) > n+f.Overhead() || f.Overhead() > MaxOverhead {
					t.Fatalf("%s: %d octets sealed to %d, SealedLen %d", c, n, len(pkt), f.SealedLen(n))
				}
				p, a := openOne(in, pkt)
				if p.Err != nil || !bytes.Equal(p.Data, text(n)) || p.Next != NextIPv4 || p.Seq != seq || a != (Arrival{Authentic: true, Newest: true}) {
					t.Fatalf("%s: opened %+v, %+v", c, p, a)
				}
			}
		}
	}
}

// The three ways to pass a payload give the same packet, and the octets borrowed behind a payload
// are restored.
func TestSealPlaces(t *testing.T) {
	for _, c := range allCiphers() {
		sealPlaces(t, c)
	}
}

func sealPlaces(t *testing.T, c Cipher) {
	t.Helper()
	o := mustOut(t, pair(c, false, 64))
	var s Scratch
	for n := range 70 {
		for _, spare := range []int{0, 1, 5, 7, 8, 9, 30} {
			buf := make([]byte, n+spare)
			copy(buf, text(n+spare))
			dst := make([]byte, o.SealedLen(n)+3)
			out := bytes.Clone(o.Seal(&s, dst, 9, buf[:n:n+spare], NextIPv6))
			if !bytes.Equal(buf, text(n+spare)) {
				t.Fatalf("%s: %d octets with %d to spare: the payload's buffer changed", c, n, spare)
			}
			if !bytes.Equal(dst[o.SealedLen(n):], []byte{0, 0, 0}) {
				t.Fatalf("%s: %d octets: written beyond the packet", c, n)
			}
			inPlace := make([]byte, n+MaxOverhead)
			copy(inPlace[o.Headroom():], text(n))
			if got := o.Seal(&s, inPlace, 9, inPlace[o.Headroom():o.Headroom()+n], NextIPv6); !bytes.Equal(got, out) {
				t.Fatalf("%s: %d octets: in place\n%x, else\n%x", c, n, got, out)
			}
		}
	}
}

// The segments of a super-packet in one read buffer: each header overwrites the sealed end of the
// segment before.
func TestSealSegments(t *testing.T) {
	for _, c := range allCiphers() {
		sealSegments(t, c)
	}
}

func sealSegments(t *testing.T, c Cipher) {
	t.Helper()
	sa := pair(c, true, 64)
	o, in := mustOut(t, sa), mustIn(t, sa)
	const header, size, segments = 40, 100, 5
	read := text(header + size*segments)
	original := bytes.Clone(read)
	send := make([]byte, 0, segments*o.SealedLen(header+size))
	var s Scratch
	first, _, err := o.Reserve(segments, segments*(header+size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		at := i * size
		copy(read[at:], original[:header])
		place := send[len(send):cap(send)]
		send = send[:len(send)+len(o.Seal(&s, place, first+uint64(i), read[at:at+header+size], NextIPv4))]
	}
	for i := range segments {
		n := o.SealedLen(header + size)
		p, _ := openOne(in, send[i*n:(i+1)*n])
		want := append(bytes.Clone(original[:header]), original[header+i*size:header+(i+1)*size]...)
		if p.Err != nil || !bytes.Equal(p.Data, want) {
			t.Errorf("%s: segment %d: %v, got\n%x, want\n%x", c, i, p.Err, p.Data, want)
		}
	}
}

// TestIVStart is about manual keys: after a restart the same key and sequence number must have
// another IV, and the peer still opens the packet.
func TestIVStart(t *testing.T) {
	sa := pair(Cipher{ID: 20, KeyBits: 128}, false, 64)
	ivs := map[string]bool{}
	for _, start := range []uint64{0, 1 << 40, 1<<64 - 1} {
		sa.IVStart = start
		out, in := mustOut(t, sa), mustIn(t, sa)
		for range 3 {
			seq, _, err := out.Reserve(1, 100)
			if err != nil {
				t.Fatal(err)
			}
			pkt := out.Seal(new(Scratch), make([]byte, out.SealedLen(100)), seq, text(100), NextIPv4)
			iv := string(pkt[HeaderLen:out.Headroom()])
			if ivs[iv] && start != 1<<64-1 { // the last start wraps into the first run on purpose
				t.Errorf("IV %x came twice", iv)
			}
			ivs[iv] = true
			if p, _ := openOne(in, pkt); p.Err != nil || !bytes.Equal(p.Data, text(100)) {
				t.Errorf("start %#x: %v", start, p.Err)
			}
		}
	}
}

func TestSealPanicsWithoutRoom(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("sealed into a buffer that is too small")
		}
	}()
	o := mustOut(t, pair(aes128, false, 64))
	o.Seal(new(Scratch), make([]byte, o.SealedLen(10)-1), 1, text(10), NextIPv4)
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*SA)
		want   error
	}{
		{"no SPI", func(sa *SA) { sa.SPI = 0 }, ErrSPI},
		{"reserved SPI", func(sa *SA) { sa.SPI = 255 }, ErrSPI},
		{"key too short", func(sa *SA) { sa.Key = sa.Key[1:] }, ErrKey},
		{"key too long", func(sa *SA) { sa.Key = append(sa.Key, 0) }, ErrKey},
		{"no key", func(sa *SA) { sa.Key = nil }, ErrKey},
		{"key without salt", func(sa *SA) { sa.Key = sa.Key[:16] }, ErrKey},
		{"unknown cipher", func(sa *SA) { sa.Cipher.ID = 3 }, ErrCipher},
		{"key length 0", func(sa *SA) { sa.Cipher.KeyBits = 0 }, ErrCipher},
		{"key length 65535", func(sa *SA) { sa.Cipher.KeyBits = 65535 }, ErrCipher},
		{"ChaCha20 with 128 bits", func(sa *SA) { sa.Cipher = Cipher{ID: ChaCha20Poly1305, KeyBits: 128} }, ErrCipher},
	} {
		sa := pair(aes128, false, 64)
		c.change(sa)
		if _, err := NewOutbound(sa); !errors.Is(err, c.want) {
			t.Errorf("%s: NewOutbound: %v, want %v", c.name, err, c.want)
		}
		if _, err := NewInbound(sa); !errors.Is(err, c.want) {
			t.Errorf("%s: NewInbound: %v, want %v", c.name, err, c.want)
		}
	}
	for _, w := range []int{-1, 1, 31, 65537} {
		if _, err := NewInbound(pair(aes128, false, w)); !errors.Is(err, ErrWindow) {
			t.Errorf("window of %d: %v", w, err)
		}
	}
}

func TestReserveRuns(t *testing.T) {
	o := mustOut(t, pair(aes128, false, 64))
	for _, c := range []struct{ n, want int }{{1, 1}, {44, 2}, {1, 46}, {0, 47}, {1, 47}} {
		first, _, err := o.Reserve(c.n, 100)
		if err != nil || first != uint64(c.want) {
			t.Errorf("Reserve(%d) = %d, %v, want %d", c.n, first, err, c.want)
		}
	}
	if got := o.Used(); got != (Usage{47, 500}) {
		t.Errorf("Used() = %+v", got)
	}
}

func TestReserveIsPinned(t *testing.T) {
	for _, esn := range []bool{false, true} {
		o := mustOut(t, pair(aes128, esn, 64))
		last := uint64(math.MaxUint32)
		if esn {
			last = math.MaxUint64
		}
		o.seq.Store(last - 3)
		if _, _, err := o.Reserve(4, 1); !errors.Is(err, ErrExhausted) {
			t.Errorf("esn %v: a run over the end: %v", esn, err)
		}
		if first, _, err := o.Reserve(3, 1); err != nil || first != last-2 {
			t.Errorf("esn %v: the last run: %d, %v", esn, first, err)
		}
		for range 3 {
			if _, _, err := o.Reserve(1, 1); !errors.Is(err, ErrExhausted) {
				t.Errorf("esn %v: after the end: %v", esn, err)
			}
		}
		if got := o.Used(); got != (Usage{last, 3 - 2}) {
			t.Errorf("esn %v: Used() = %+v", esn, got)
		}
	}
}

// Whatever callers race for the last numbers, none is handed out twice and none beyond the end.
func TestReserveRaces(t *testing.T) {
	o := mustOut(t, pair(aes128, false, 64))
	const start = math.MaxUint32 - 5000
	o.seq.Store(start)
	var wg sync.WaitGroup
	runs := make([][]uint64, 4)
	for w := range runs {
		wg.Go(func() {
			for i := 0; ; i++ {
				n := 1 + (i*7+w)%9
				first, _, err := o.Reserve(n, n)
				if err != nil && n == 1 {
					return
				}
				for k := range n {
					if err == nil {
						runs[w] = append(runs[w], first+uint64(k))
					}
				}
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, run := range runs {
		for _, seq := range run {
			if seen[seq] || seq <= start || seq > math.MaxUint32 {
				t.Fatalf("number %d handed out twice or out of range", seq)
			}
			seen[seq] = true
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d numbers handed out, want all 5000", len(seen))
	}
	if got := o.Used(); got.Octets != 5000 {
		t.Errorf("%d octets counted, want 5000", got.Octets)
	}
}

func TestOutboundLimits(t *testing.T) {
	sa := pair(aes128, false, 64)
	sa.Limits = Limits{SoftBytes: 1000, HardBytes: 2000, SoftPackets: 50, HardPackets: 60}
	o := mustOut(t, sa)
	softs := 0
	var err error
	for err == nil {
		var soft bool
		if _, soft, err = o.Reserve(3, 90); soft {
			softs++
			if u := o.Used(); u.Octets/90 != 1000/90+1 && u.Packets/3 != 50/3+1 {
				t.Errorf("soft at %+v", u)
			}
		}
	}
	if u := o.Used(); !errors.Is(err, ErrExhausted) || u.Packets != 60 || u.Octets != 20*90 || softs != 2 {
		t.Errorf("ended at %+v after %d soft signals: %v", u, softs, err)
	}
	if _, _, err := o.Reserve(0, 201); !errors.Is(err, ErrExhausted) {
		t.Errorf("over the hard limit on octets: %v", err)
	}
}

func TestDefaultSoftLimits(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		last   uint64
		want   thresholds
	}{
		{Limits{}, math.MaxUint32, thresholds{math.MaxUint64 - math.MaxUint64/16, math.MaxUint64, math.MaxUint32 - math.MaxUint32/16, math.MaxUint32}},
		{Limits{HardBytes: 1600, HardPackets: 160}, math.MaxUint32, thresholds{1500, 1600, 150, 160}},
		{Limits{SoftBytes: 9000, HardBytes: 1600, SoftPackets: 900, HardPackets: 160}, math.MaxUint32, thresholds{1600, 1600, 160, 160}},
		{Limits{SoftPackets: 1 << 40, HardPackets: 1 << 41}, math.MaxUint32, thresholds{math.MaxUint64 - math.MaxUint64/16, math.MaxUint64,
			math.MaxUint32 - math.MaxUint32/16, math.MaxUint32}},
	} {
		if got := newThresholds(c.limits, c.last); got != c.want {
			t.Errorf("newThresholds(%+v) = %+v, want %+v", c.limits, got, c.want)
		}
	}
}

// Numbers that are not allowed yet are reserved by nobody, whole runs of them neither, and are
// after Allow. What was counted for the refused does not stay.
func TestAllow(t *testing.T) {
	sa := pair(aes128, false, 64)
	sa.State.Sent.Packets, sa.Allowed, sa.Limits.HardPackets = 100, 110, 200
	o := mustOut(t, sa)
	want := func(n int, first uint64, err error) {
		t.Helper()
		if got, _, e := o.Reserve(n, 10*n); got != first || !errors.Is(e, err) {
			t.Errorf("Reserve(%d) = %d, %v; want %d, %v", n, got, e, first, err)
		}
	}
	want(8, 101, nil)
	want(3, 0, ErrNotAllowed)
	want(2, 109, nil)
	want(1, 0, ErrNotAllowed)
	o.Allow(90) // takes nothing back
	o.Allow(112)
	o.Allow(111)
	want(3, 0, ErrNotAllowed)
	want(2, 111, nil)
	want(89, 0, ErrExhausted) // it does not fit before the end, whatever is allowed
	o.Allow(math.MaxUint64)
	want(88, 113, nil)
	want(1, 0, ErrExhausted)
	if got := o.Used(); got != (Usage{200, 1000}) {
		t.Errorf("used %+v", got)
	}
	sa.State.Sent.Packets, sa.Allowed = 150, 120 // behind what was sent
	o = mustOut(t, sa)
	want(1, 0, ErrNotAllowed)
	sa.Allowed = 1000 // beyond the end
	o = mustOut(t, sa)
	want(51, 0, ErrExhausted)
	want(50, 151, nil)
}

// While many reserve and one allows, no number is used before it is allowed, and each once.
func TestAllowInParallel(t *testing.T) {
	const last, workers = 20_000, 4
	sa := pair(aes128, false, 64)
	sa.Allowed = 1
	o := mustOut(t, sa)
	var used [last + 1]atomic.Bool
	var allowed atomic.Uint64
	allowed.Store(1)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				first, _, err := o.Reserve(1, 1)
				switch {
				case errors.Is(err, ErrNotAllowed):
					if o.Used().Packets == last {
						return
					}
					runtime.Gosched()
				case first > allowed.Load() || used[first].Swap(true):
					t.Errorf("number %d is used twice, or too early", first)
					return
				}
			}
		})
	}
	for n := uint64(2); n <= last; n += 7 {
		allowed.Store(min(n+7, last))
		o.Allow(min(n+7, last))
	}
	all.Wait()
}
