package ike

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// cookieLife is how long new cookies are made with one secret. Its cookies stay valid for as long
// again, so that a change of the secret does not refuse an initiator whose request is on its way.
const cookieLife = 30 * time.Second

// A cookieJar makes and checks the cookies of RFC 7296, Section 2.6, without state per initiator:
//
//	cookie = generation (1 octet)
//	       | HMAC-SHA256(secret of the generation, address | port | SPIi | Ni)[:16]
//
// It covers the port, so that other hosts behind the same NAT cannot use a victim's cookie.
type cookieJar struct{ secrets }

// secrets are a random secret and the one before it.
type secrets struct {
	rand              io.Reader
	generation        uint8
	born              time.Time // when the current secret was made; zero: there is none
	current, previous [32]byte
	hasPrevious       bool
}

// cookieLen is within the 1 to 64 octets of RFC 7296, Section 2.6.
const cookieLen = 1 + 16

// cookieSource returns what a cookie proves of a path. A stream proves by itself that its peer
// receives, and the cookie may return on another connection, from another port (RFC 9329, Section
// 6.3).
func cookieSource(p ipsec.Path) netip.AddrPort {
	if p.Stream() {
		return netip.AddrPortFrom(p.Remote().Addr(), 0)
	}
	return p.Remote()
}

// make returns the cookie for an IKE_SA_INIT request with this nonce, source and SPI.
func (j *cookieJar) make(now time.Time, ni []byte, from netip.AddrPort, spi wire.SPI) ([]byte, error) {
	if err := j.rotate(now, cookieLife); err != nil {
		return nil, err
	}
	return appendCookie([]byte{j.generation}, &j.current, ni, from, spi), nil
}

// valid reports whether make returned this cookie for the same request, under the current secret or
// the one before it.
func (j *cookieJar) valid(now time.Time, cookie, ni []byte, from netip.AddrPort, spi wire.SPI) bool {
	if len(cookie) != cookieLen || j.born.IsZero() || j.rotate(now, cookieLife) != nil {
		return false
	}
	secret := &j.current
	if cookie[0] != j.generation {
		if !j.hasPrevious || cookie[0] != j.generation-1 {
			return false
		}
		secret = &j.previous
	}
	return hmac.Equal(cookie, appendCookie(cookie[:1:1], secret, ni, from, spi))
}

// rotate makes the first secret, and replaces the current one when it is older than life.
func (j *secrets) rotate(now time.Time, life time.Duration) error {
	age := now.Sub(j.born)
	if !j.born.IsZero() && age < life {
		return nil
	}
	var fresh [32]byte
	if _, err := io.ReadFull(j.rand, fresh[:]); err != nil {
		return fmt.Errorf("no randomness for a secret: %w", err)
	}
	j.hasPrevious = !j.born.IsZero() && age < 2*life
	j.previous, j.current = j.current, fresh
	j.generation++
	j.born = now
	return nil
}

func appendCookie(b []byte, secret *[32]byte, ni []byte, from netip.AddrPort, spi wire.SPI) []byte {
	mac := hmac.New(sha256.New, secret[:])
	var fixed [26]byte
	addr := from.Addr().As16()
	copy(fixed[:], addr[:])
	binary.BigEndian.PutUint16(fixed[16:], from.Port())
	binary.BigEndian.PutUint64(fixed[18:], uint64(spi))
	mac.Write(fixed[:]) // of fixed length and in front of the nonce, so that the input is unambiguous
	mac.Write(ni)
	var sum [sha256.Size]byte
	return append(b, mac.Sum(sum[:0])[:cookieLen-1]...)
}
