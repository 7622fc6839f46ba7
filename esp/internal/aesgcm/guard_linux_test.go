package aesgcm

import (
	"crypto/cipher"
	"math"
	"syscall"
	"testing"
)

// guarded is memory between two pages that fault on access.
type guarded struct{ inner []byte }

func newGuarded(t *testing.T, n int) guarded {
	t.Helper()
	page := syscall.Getpagesize()
	n = (n + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, n+2*page, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(all) })
	inner := all[page : page+n : page+n]
	if err := syscall.Mprotect(inner, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		t.Fatal(err)
	}
	return guarded{inner}
}

// put copies b to the start of the guarded memory, or to its end.
func (g guarded) put(b []byte, atEnd bool) []byte {
	at := 0
	if atEnd {
		at = len(g.inner) - len(b)
	}
	return g.inner[at : at+copy(g.inner[at:], b) : at+len(b)]
}

// TestGuardPages: with every buffer right behind a faulting page and right before one, no access is
// outside of it, at any length.
func TestGuardPages(t *testing.T) {
	const most = 1100
	var g [4]guarded
	for i := range g {
		g[i] = newGuarded(t, most+tagLen)
	}
	all := sample(1, most)
	eachKey(t, func(t *testing.T, ours, std cipher.AEAD) {
		for n := range most + 1 {
			for _, end := range []bool{false, true} {
				aad, nonce := g[0].put(all[:n%41], end), g[1].put(all[:nonceLen], end)
				text, sealed := g[2].put(all[:n], end), g[3].put(make([]byte, n+tagLen), end)
				want := std.Seal(nil, all[:nonceLen], all[:n], all[:n%41])
				same(t, "sealed", ours.Seal(sealed[:0], nonce, text, aad), want)
				clear(text)
				got, err := ours.Open(text[:0], nonce, sealed, aad)
				if err != nil {
					t.Fatalf("%d octets: %v", n, err)
				}
				same(t, "opened", got, all[:n])
				if _, err = ours.Open(sealed[:0], nonce, sealed, aad); err != nil {
					t.Fatalf("%d octets, in place: %v", n, err)
				}
				same(t, "sealed in place", ours.Seal(sealed[:0], nonce, sealed[:n], aad), want)
			}
		}
	})
}

// TestGuardPagesOfPackets: the same for whole packets, with the text elsewhere and in place.
func TestGuardPagesOfPackets(t *testing.T) {
	const most = 1100
	text, packet := newGuarded(t, most), newGuarded(t, most+64)
	all := sample(1, most)
	eachKey(t, func(t *testing.T, ours, _ cipher.AEAD) {
		whole, ok := ours.(interface {
			SealPacket(packet, text []byte, salt uint32, seq uint64, esn bool)
			OpenPacket(packet []byte, salt uint32, seq uint64, esn bool) bool
		})
		if !ok {
			return
		}
		for n := range most + 1 {
			for _, end := range []bool{false, true} {
				const head = 16
				src, dst := text.put(all[:n], end), packet.put(make([]byte, head+n+tagLen), end)
				whole.SealPacket(dst, src, 1, uint64(n), end)
				if !whole.OpenPacket(dst, 1, uint64(n), end) {
					t.Fatalf("%d octets: not opened", n)
				}
				same(t, "opened", dst[head:head+n], src)
				whole.SealPacket(dst, dst[head:head+n], 1, uint64(n), end)
				if !whole.OpenPacket(dst, 1, uint64(n), end) {
					t.Fatalf("%d octets, in place: not opened", n)
				}
			}
		}
	})
}

// TestTooLong: a text beyond the limit of one nonce (SP 800-38D, Section 5.2.1.1: 2^39-256 bits) is
// refused before any of it is read: its memory does not exist.
func TestTooLong(t *testing.T) {
	const limit = (1<<32 - 2) * blockLen
	if math.MaxInt == math.MaxInt32 {
		t.Skip("no text can be that long")
	}
	text, err := syscall.Mmap(-1, 0, limit+2*tagLen, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		t.Skip("no address space for a text of 64 GiB:", err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(text) })
	eachKey(t, func(t *testing.T, ours, _ cipher.AEAD) {
		nonce := make([]byte, nonceLen)
		if !panics(func() { ours.Seal(nil, nonce, text[:limit+1], nil) }) {
			t.Error("sealed")
		}
		if got, err := ours.Open(nil, nonce, text[:limit+tagLen+1], nil); err == nil {
			t.Errorf("opened: %d octets", len(got))
		}
	})
}
