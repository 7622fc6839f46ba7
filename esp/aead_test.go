package esp

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

//go:embed testdata/gcm-test-01.txt
var gcmVectors string

//go:embed testdata/scapy.json
var scapyVectors []byte

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vector is one sealed packet, however it was published.
type vector struct {
	name    string
	cipher  Cipher
	key     []byte // with the salt
	spi     uint32
	seq, iv uint64
	esn     bool
	payload []byte
	next    uint8
	pkt     []byte
}

// givenIV is a transform with the IV of a published packet.
type givenIV struct {
	transform
	iv []byte
}

func (g givenIV) putIV(iv []byte, _ uint64) { copy(iv, g.iv) }

// keyed is made without the checks of newKeyed: some vectors have an SPI that no SA may have.
func (v *vector) keyed(t testing.TB) keyed {
	t.Helper()
	if len(v.key) != v.cipher.KeyLen() {
		t.Fatalf("%s: a key of %d octets, want %d", v.cipher, len(v.key), v.cipher.KeyLen())
	}
	k, err := v.cipher.keyed(v.key)
	if err != nil {
		t.Fatal(err)
	}
	k.spi, k.esn = v.spi, v.esn
	if k.Align == blockLen {
		k.other = givenIV{k.other, v.pkt[HeaderLen:k.Headroom()]}
	}
	return k
}

func (v *vector) outbound(t testing.TB) *Outbound {
	return &Outbound{keyed: v.keyed(t), limits: newThresholds(Limits{}, lastSequence(v.esn))}
}

// inbound is an SA that has come as far as the vector's packet.
func (v *vector) inbound(t testing.TB) *Inbound {
	in := &Inbound{keyed: v.keyed(t), limits: newThresholds(Limits{}, lastSequence(v.esn))}
	in.window.init(64)
	in.window.top.Store(v.seq >> blockShift)
	return in
}

func (v *vector) check(t *testing.T) {
	t.Helper()
	var s Scratch
	if got := v.outbound(t).seal(&s, make([]byte, 4096), v.seq, v.iv, v.payload, v.next); !bytes.Equal(got, v.pkt) {
		t.Errorf("sealed\n%x, want\n%x", got, v.pkt)
	}
	p, a := openOne(v.inbound(t), bytes.Clone(v.pkt))
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	if !bytes.Equal(p.Data, v.payload) || p.Next != v.next || p.Seq != v.seq || !a.Newest {
		t.Errorf("opened %x, next %d, number %d, newest %v; want %x, %d, %d, true", p.Data, p.Next, p.Seq, a.Newest, v.payload, v.next, v.seq)
	}
	for n := range len(v.pkt) {
		if p, a := openOne(v.inbound(t), bytes.Clone(v.pkt[:n])); p.Err == nil || a.Authentic {
			t.Errorf("the first %d of %d octets were opened", n, len(v.pkt))
		}
	}
}

func TestGCMVectors(t *testing.T) {
	count := 0
	for line := range strings.Lines(gcmVectors) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		key, nonce, aad, text := unhex(t, f[0]), unhex(t, f[1]), unhex(t, f[2]), unhex(t, f[3])
		var p Packet
		if p.cutTrailer(text); p.Err != nil {
			t.Fatalf("bad trailer in %s: %v", line, p.Err)
		}
		v := vector{name: f[2], cipher: Cipher{ID: AESGCM16, KeyBits: uint16(len(key) * 8)}, key: append(key, nonce[:maxSaltLen]...), spi: binary.BigEndian.Uint32(aad),
			iv: binary.BigEndian.Uint64(nonce[maxSaltLen:]), esn: len(aad) == 12, payload: p.Data, next: p.Next}
		v.seq = uint64(binary.BigEndian.Uint32(aad[4:]))
		if v.esn {
			v.seq = binary.BigEndian.Uint64(aad[4:])
		}
		v.pkt = append(append([]byte{}, aad[:4]...), aad[len(aad)-4:]...)
		v.pkt = append(append(append(v.pkt, nonce[maxSaltLen:]...), unhex(t, f[4])...), unhex(t, f[5])...)
		t.Run(v.name, v.check)
		for id, tagLen := range map[uint16]int{AESGCM8: 8, AESGCM12: 12} { // the same tags, cut
			short := v
			short.cipher.ID, short.pkt = id, v.pkt[:len(v.pkt)-16+tagLen]
			t.Run(fmt.Sprintf("%s, a tag of %d octets", v.name, tagLen), short.check)
		}
		count++
	}
	if count != 14 {
		t.Errorf("%d vectors, want 14", count)
	}
}

func TestChaCha20Poly1305Vector(t *testing.T) {
	v := vector{ // RFC 7634, Appendix A
		cipher: Cipher{ID: ChaCha20Poly1305, KeyBits: 256},
		key:    unhex(t, "80 81 82 83 84 85 86 87 88 89 8a 8b 8c 8d 8e 8f 90 91 92 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2 a3"),
		spi:    0x01020304, seq: 5, iv: 0x1011121314151617, next: NextIPv4,
		payload: unhex(t, `45 00 00 54 a6 f2 00 00 40 01 e7 78 c6 33 64 05 c0 00 02 05 08 00 5b 7a 3a 08 00 00 55 3b ec 10
			00 07 36 27 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23
			24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31 32 33 34 35 36 37`),
		pkt: unhex(t, `01 02 03 04 00 00 00 05 10 11 12 13 14 15 16 17 24 03 94 28 b9 7f 41 7e 3c 13 75 3a 4f 05 08 7b 67 c3 52 e6 a7 fa b1 b9
			82 d4 66 ef 40 7a e5 c6 14 ee 80 99 d5 28 44 eb 61 aa 95 df ab 4c 02 f7 2a a7 1e 7c 4c 4f 64 c9 be fe 2f ac
			c6 38 e8 f3 cb ec 16 3f ac 46 9b 50 27 73 f6 fb 94 e6 64 da 91 65 b8 28 29 f6 41 e0 76 aa a8 26 6b 7f b0 f7
			b1 1b 36 99 07 e1 ad 43`),
	}
	v.check(t)
}

// Packets of an independent implementation, with the IVs that Seal uses: see
// testdata/scapy_vectors.py.
func TestScapyVectors(t *testing.T) {
	var list []struct {
		Cipher, Key, Inner, ESP string
		SPI                     uint32
		Seq                     uint64 `json:",string"`
		ESN                     bool
	}
	if err := json.Unmarshal(scapyVectors, &list); err != nil {
		t.Fatal(err)
	}
	byName := map[string]Cipher{}
	for _, c := range allCiphers() {
		byName[c.String()] = c
	}
	used := map[string]bool{}
	for _, e := range list {
		v := vector{name: e.Cipher, cipher: byName[e.Cipher], key: unhex(t, e.Key), spi: e.SPI, seq: e.Seq, iv: e.Seq, esn: e.ESN,
			payload: unhex(t, e.Inner), next: NextIPv4, pkt: unhex(t, e.ESP)}
		if v.payload[0]>>4 == 6 {
			v.next = NextIPv6
		}
		used[e.Cipher] = true
		t.Run(v.name, v.check)
	}
	if len(used) != len(allCiphers()) {
		t.Errorf("vectors for %d ciphers, want all %d", len(used), len(allCiphers()))
	}
}
