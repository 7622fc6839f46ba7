package ike

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// seededRand is a reader that gives the same octets in every run.
func seededRand(seed uint64, name string) *rand.ChaCha8 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, seed))
	return rand.NewChaCha8(sum)
}

// fakeGroups are the methods that the fake key exchange stands in for.
var fakeGroups = []wire.TransformID{wire.GroupX25519, wire.GroupECP256, wire.GroupMODP2048}

// fakeKE is a key exchange without secrecy: the shared value can be computed from both public
// values, as the tap does.
type fakeKE struct {
	group  wire.TransformID
	public []byte
}

func fakeKEMaker(r io.Reader) suite.KEMaker {
	return func(group wire.TransformID) (suite.KeyExchange, error) {
		if !isFakeGroup(group) {
			return nil, fmt.Errorf("no fake of group %d", group)
		}
		k := &fakeKE{group, make([]byte, 34)}
		binary.BigEndian.PutUint16(k.public, uint16(group))
		if _, err := io.ReadFull(r, k.public[2:]); err != nil {
			return nil, err
		}
		return k, nil
	}
}

func isFakeGroup(group wire.TransformID) bool {
	for _, g := range fakeGroups {
		if g == group {
			return true
		}
	}
	return false
}

func (k *fakeKE) Public() []byte { return k.public }

func (k *fakeKE) Shared(peer []byte) ([]byte, error) {
	if len(peer) != 34 || wire.TransformID(binary.BigEndian.Uint16(peer)) != k.group || bytes.Equal(peer[2:], make([]byte, 32)) {
		return nil, errors.New("fake public value is bad")
	}
	return fakeShared(k.public, peer), nil
}

// fakeShared is the shared secret of two public values, in either order.
func fakeShared(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	sum := sha256.Sum256(append(bytes.Clone(a), b...))
	return sum[:]
}

// epoch is when virtual clocks begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
