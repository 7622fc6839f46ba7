package aesgcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

func TestKeyLengths(t *testing.T) {
	for n := range 40 {
		_, err := New(make([]byte, n))
		want := n == 16 || n == 24 || n == 32
		var size aes.KeySizeError
		if (err == nil) != want || err != nil && (!errors.As(err, &size) || int(size) != n) {
			t.Errorf("a key of %d octets: %v", n, err)
		}
	}
}

// panics reports whether f panics.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// TestOverlaps: output and input may start at the same place or be apart, and output and additional
// data must be apart. All distances are compared with crypto/cipher.
func TestOverlaps(t *testing.T) {
	const mid = 200
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a, std := way(t, sample(1, 16)), must(t, newGeneric, sample(1, 16))
		nonce := sample(2, nonceLen)
		for _, n := range []int{0, 1, 40} {
			for d := -100; d <= 100; d++ {
				tries := map[string]func(a cipher.AEAD, buf, apart []byte){
					"seal": func(a cipher.AEAD, buf, apart []byte) {
						a.Seal(buf[mid:mid], nonce, buf[mid+d:mid+d+n], apart)
					},
					"seal, additional data": func(a cipher.AEAD, buf, apart []byte) {
						a.Seal(buf[mid:mid], nonce, apart[:n], buf[mid+d:mid+d+12])
					},
					"open": func(a cipher.AEAD, buf, apart []byte) {
						_, _ = a.Open(buf[mid:mid], nonce, buf[mid+d:mid+d+n+tagLen], apart)
					},
					"open, additional data": func(a cipher.AEAD, buf, apart []byte) {
						_, _ = a.Open(buf[mid:mid], nonce, apart[:n+tagLen], buf[mid+d:mid+d+12])
					},
				}
				for name, try := range tries {
					got := panics(func() { try(a, make([]byte, 2*mid), make([]byte, mid)) })
					want := panics(func() { try(std, make([]byte, 2*mid), make([]byte, mid)) })
					if got != want {
						t.Errorf("%s of %d octets, %d apart: panic %v, want %v", name, n, d, got, want)
					}
				}
			}
		}
	})
}

// TestOutputs: the content of dst is kept, whether the output is in its memory or in new memory.
func TestOutputs(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a := way(t, sample(1, 24))
		nonce, plain := sample(2, nonceLen), sample(3, 100)
		want := a.Seal(nil, nonce, plain, nil)
		for room := range 130 {
			dst := make([]byte, 5, 5+room)
			copy(dst, "begun")
			sealed := a.Seal(dst, nonce, plain, nil)
			same(t, "sealed", sealed, append([]byte("begun"), want...))
			got, err := a.Open(dst, nonce, want, nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "opened", got, append([]byte("begun"), plain...))
		}
	})
}

func TestNonceLengths(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a := way(t, sample(1, 16))
		if a.NonceSize() != nonceLen || a.Overhead() != tagLen {
			t.Errorf("nonces of %d octets, tags of %d", a.NonceSize(), a.Overhead())
		}
		for n := range 20 {
			nonce, text := make([]byte, n), make([]byte, 40)
			if got := panics(func() { a.Seal(nil, nonce, text, nil) }); got != (n != nonceLen) {
				t.Errorf("seal with a nonce of %d octets: panic %v", n, got)
			}
			if got := panics(func() { _, _ = a.Open(nil, nonce, text, nil) }); got != (n != nonceLen) {
				t.Errorf("open with a nonce of %d octets: panic %v", n, got)
			}
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	eachWay(t, func(t *testing.T, way func(testing.TB, []byte) cipher.AEAD) {
		a := way(t, sample(1, 16))
		nonce, aad, buf := make([]byte, nonceLen), make([]byte, 12), make([]byte, 1400+tagLen)
		if n := testing.AllocsPerRun(100, func() {
			a.Seal(buf[:0], nonce, buf[:1400], aad)
			if _, err := a.Open(buf[:0], nonce, buf, aad); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// choiceWanted is the environment variable that tells TestChoice in a child process what New uses.
const choiceWanted = "AESGCM_TEST_WANT"

// TestChoice runs this test again as a child process, in environments that select an implementation
// and in one that does not.
func TestChoice(t *testing.T) {
	if want, inner := os.LookupEnv(choiceWanted); inner {
		a, err := New(make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		_, wipes := a.(interface{ Clear() })
		if got := fmt.Sprint(int(chosen)); got != want || Fast() != (chosen != generic) || wipes != Fast() {
			t.Errorf("%s, %T, want %s", got, a, want)
		}
		return
	}
	for _, c := range []struct {
		env  string
		want engine
	}{
		{Environment + "=", best()}, {Environment + "=generic", generic}, {Environment + "=aesni", min(best(), aesni)},
		{Environment + "=vaes", min(best(), vaes)}, {Environment + "=avx512", best()},
		{"GODEBUG=fips140=on", generic}, {"GODEBUG=fips140=off", best()},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChoice$")
		cmd.Env = append(os.Environ(), Environment+"=", "GODEBUG=fips140=off", c.env, choiceWanted+"="+fmt.Sprint(int(c.want)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %s: %v\n%s", c.env, err, bytes.TrimSpace(out))
		}
	}
}

// TestChoose: the environment selects nothing that the processor does not support, and in FIPS 140
// mode it selects nothing.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		best   engine
		wanted string
		fips   bool
		want   engine
	}{
		{vaes, "", false, vaes}, {vaes, "aesni", false, aesni}, {vaes, "generic", false, generic}, {vaes, "other", false, vaes},
		{aesni, "", false, aesni}, {aesni, "aesni", false, aesni}, {aesni, "generic", false, generic},
		{generic, "", false, generic}, {generic, "aesni", false, generic},
		{vaes, "", true, generic}, {vaes, "aesni", true, generic},
		{avx512, "", false, avx512}, {avx512, "avx512", false, avx512}, {avx512, "vaes", false, vaes}, {avx512, "aesni", false, aesni},
		{avx512, "generic", false, generic}, {avx512, "", true, generic}, {avx512, "avx512", true, generic},
		{vaes, "avx512", false, vaes}, {vaes, "vaes", false, vaes}, {aesni, "vaes", false, aesni}, {generic, "avx512", false, generic},
	} {
		if got := choose(c.best, c.wanted, c.fips); got != c.want {
			t.Errorf("choose(%d, %q, %v) = %d, want %d", c.best, c.wanted, c.fips, got, c.want)
		}
	}
}
