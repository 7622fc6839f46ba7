package esp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"culvert/esp/internal/aesgcm"
)

// arrived is a packet as it lies in a receive buffer, and what it must become.
type arrived struct {
	at, n  int // in the buffer
	inner  []byte
	forged bool
}

// arrivals fills a buffer with packets of any length up to the longest, end to end and so at any
// alignment, as UDP_GRO brings them. About a third are forged: a bit is changed, the end is
// missing, or all is random.
func arrivals(r *rand.Rand, out *Outbound, first uint64) (buf []byte, list []arrived) {
	buf = make([]byte, 3+r.IntN(64))
	lengths := []int{0, 1, 2, 3, 16, 64, 250, 1400, 9000, 65535 - MaxOverhead, r.IntN(300), r.IntN(2000)}
	for i := range 1 + r.IntN(40) {
		a := arrived{at: len(buf), inner: text(lengths[r.IntN(len(lengths))])}
		pkt := out.Seal(new(Scratch), make([]byte, len(a.inner)+MaxOverhead), first+uint64(i), a.inner, NextIPv6)
		switch r.IntN(9) {
		case 0:
			pkt[HeaderLen+r.IntN(len(pkt)-HeaderLen)] ^= 1 << r.IntN(8)
			a.forged = true
		case 1:
			pkt, a.forged = pkt[:len(pkt)-1-r.IntN(len(pkt)-1)], true
		case 2:
			for k := range pkt[HeaderLen:] {
				pkt[HeaderLen+k] = byte(r.Uint32())
			}
			a.forged = true
		}
		buf, a.n = append(buf, pkt...), len(pkt)
		list = append(list, a)
	}
	return buf, list
}

// TestForgedAmongOthers: forged packets between others change nothing for these. Every packet is
// opened where it lies, and no octet outside of its text changes. A forgery leaves no plaintext.
func TestForgedAmongOthers(t *testing.T) {
	for _, c := range allCiphers() {
		for _, esn := range []bool{false, true} {
			sa := pair(c, esn, 4096)
			out, in := mustOut(t, sa), mustIn(t, sa)
			r := rand.New(rand.NewPCG(uint64(c.KeyBits), uint64(c.ID)))
			rounds := uint64(2)
			if c.ID == AESGCM16 {
				rounds = 10
			}
			for first := uint64(1); first < 100*rounds; first += 100 {
				buf, list := arrivals(r, out, first)
				before := bytes.Clone(buf)
				run := make([]Packet, len(list))
				for i, a := range list {
					run[i].Data = buf[a.at:][:a.n:a.n]
				}
				in.Open(new(Scratch), run)
				for i, a := range list {
					a.check(t, c.Format(), fmt.Sprintf("%s, esn %v, %d of %d", c, esn, i, len(list)), &run[i], buf, before)
				}
			}
		}
	}
}

func (a *arrived) check(t *testing.T, f Format, what string, p *Packet, buf, before []byte) {
	t.Helper()
	if a.forged {
		if p.Data != nil || !errors.Is(p.Err, ErrICV) && !errors.Is(p.Err, ErrShort) {
			t.Fatalf("%s: a forgery of %d octets: %v", what, a.n, p.Err)
		}
	} else if p.Err != nil || !bytes.Equal(p.Data, a.inner) || p.Next != NextIPv6 {
		t.Fatalf("%s: %d octets: %v, %d opened", what, len(a.inner), p.Err, len(p.Data))
	} else if len(a.inner) > 0 && &p.Data[0] != &buf[a.at+f.Headroom()] {
		t.Fatalf("%s: opened elsewhere", what)
	}
	want := bytes.Clone(before[a.at:][:a.n])
	if n := a.n - f.Headroom() - int(f.ICV); n >= trailerLen {
		got := buf[a.at+f.Headroom():][:n]
		if a.forged && !bytes.Equal(got, make([]byte, n)) {
			t.Fatalf("%s: a forgery leaves %x", what, got)
		}
		copy(want[f.Headroom():], got)
	}
	if !bytes.Equal(buf[a.at:][:a.n], want) {
		t.Fatalf("%s: octets outside of the text changed", what)
	}
}

// TestEveryImplementation runs the tests of packets again with each implementation of AES-GCM that
// the environment can select.
func TestEveryImplementation(t *testing.T) {
	const inner = "ESP_TEST_INNER"
	if os.Getenv(inner) != "" {
		return
	}
	if testing.Short() {
		t.Skip("takes as long as the package's other tests together")
	}
	for _, name := range []string{"generic", "aesni", "vaes"} {
		cmd := exec.Command(os.Args[0], "-test.short", "-test.run=^Test(Seal|Open|Forged|Run|Every|Nothing|GCM|ChaCha|Scapy|Separate)")
		cmd.Env = append(os.Environ(), aesgcm.Environment+"="+name, inner+"=1")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %s: %v\n%s", name, err, msg)
		}
	}
}
