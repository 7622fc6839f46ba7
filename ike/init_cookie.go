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
)

// cookieLife is how long a cookie secret makes new cookies. Each stays valid for one more such time, so that an
// initiator is not refused because the secret changed on its way.
const cookieLife = 30 * time.Second

// cookieJar makes and checks the cookies of RFC 7296, Section 2.6, without state for each initiator:
//
//	cookie = generation (1 octet) | HMAC-SHA256(secret of the generation, Ni | address | port | SPIi)[:16]
//
// The port is in it: a NAT's other users must not share a victim's cookie.
type cookieJar struct {
	rand              io.Reader
	generation        uint8
	born              time.Time // of the current secret; zero: there is none
	current, previous [32]byte
	hasPrevious       bool
}

// cookieLen is within the 1 to 64 octets of RFC 7296, Section 2.6.
const cookieLen = 1 + 16

// make is the cookie for an IKE_SA_INIT request of this nonce, source and SPI.
func (j *cookieJar) make(now time.Time, ni []byte, from netip.AddrPort, spi wire.SPI) ([]byte, error) {
	if err := j.rotate(now); err != nil {
		return nil, err
	}
	return appendCookie([]byte{j.generation}, &j.current, ni, from, spi), nil
}

// valid says whether a cookie is one that make made for the same request, at most two lives of a secret ago.
func (j *cookieJar) valid(now time.Time, cookie, ni []byte, from netip.AddrPort, spi wire.SPI) bool {
	if len(cookie) != cookieLen || j.born.IsZero() || j.rotate(now) != nil {
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

// rotate makes the first secret, and a new one when the current one is old.
func (j *cookieJar) rotate(now time.Time) error {
	age := now.Sub(j.born)
	if !j.born.IsZero() && age < cookieLife {
		return nil
	}
	var fresh [32]byte
	if _, err := io.ReadFull(j.rand, fresh[:]); err != nil {
		return fmt.Errorf("no randomness for a cookie secret: %w", err)
	}
	j.hasPrevious = !j.born.IsZero() && age < 2*cookieLife
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
	mac.Write(fixed[:]) // of fixed length, and so before the nonce: the two cannot run into each other
	mac.Write(ni)
	var sum [sha256.Size]byte
	return append(b, mac.Sum(sum[:0])[:cookieLen-1]...)
}
