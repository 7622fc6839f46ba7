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
	fails  bool
}

// fakeKEs are the groups of tests.
type fakeKEs struct {
	random io.Reader
	dear   bool // all of them are dear
	fails  bool // no shared value can be computed, of whatever Check accepts
}

func (f fakeKEs) New(group wire.TransformID) (suite.KeyExchange, error) {
	if !isFakeGroup(group) {
		return nil, fmt.Errorf("no fake of group %d", group)
	}
	k := &fakeKE{group, make([]byte, 34), f.fails}
	binary.BigEndian.PutUint16(k.public, uint16(group))
	if _, err := io.ReadFull(f.random, k.public[2:]); err != nil {
		return nil, err
	}
	return k, nil
}

func (fakeKEs) Check(group wire.TransformID, public []byte) error {
	if len(public) != 34 || wire.TransformID(binary.BigEndian.Uint16(public)) != group || bytes.Equal(public[2:], make([]byte, 32)) {
		return errors.New("fake public value is bad")
	}
	return nil
}

func (f fakeKEs) Dear(wire.TransformID) bool { return f.dear }

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
	if err := (fakeKEs{}).Check(k.group, peer); err != nil {
		return nil, err
	}
	if k.fails {
		return nil, errors.New("fake computation failed")
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
