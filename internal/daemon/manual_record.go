package daemon

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"culvert/internal/ipsec"
)

// A manualID identifies one direction of a manual SA. What must never meet a sequence number or an
// IV twice is the key; the other fields tell SAs apart that have one key in common.
type manualID struct {
	key keyDigest
	spi uint32
	ipsec.PolicyName
}

// A keyDigest identifies a key without showing it.
type keyDigest [16]byte

// digestOf returns the digest of a manual key.
func digestOf(key []byte) keyDigest {
	h := sha256.New()
	h.Write([]byte("culvert: digest of a manual key, version 1\x00"))
	h.Write(key)
	return keyDigest(h.Sum(nil))
}

// A sentRecord is what is kept of an outbound manual SA.
type sentRecord struct {
	allowed uint64 // no packet was sent with a greater sequence number
	ivStart uint64 // ipsec.ChildSA.IVStart, for as long as the key is used
}

// manualRecords is what is kept of manual SAs. Records stay when their children go from the
// configuration, since a key may come back.
type manualRecords struct {
	sent map[manualID]sentRecord
	top  map[manualID]uint64 // the highest sequence number that was accepted, or some while ago was
}

func newManualRecords() manualRecords {
	return manualRecords{map[manualID]sentRecord{}, map[manualID]uint64{}}
}

func (r manualRecords) clone() manualRecords {
	return manualRecords{maps.Clone(r.sent), maps.Clone(r.top)}
}

// The file of manualRecords is text: a line for each record, between a head with the version and a
// sum of all before it.
//
//	culvert manual-sequences 1
//	out DIGEST SPI ALLOWED IVSTART "PEER" "CHILD"
//	in DIGEST SPI TOP "PEER" "CHILD"
//	sum SHA-256
const (
	manualHead    = "culvert manual-sequences "
	manualVersion = "1"
)

// encode returns the file. Equal records give equal files.
func (r manualRecords) encode() []byte {
	b := []byte(manualHead + manualVersion + "\n")
	for _, id := range slices.SortedFunc(maps.Keys(r.sent), compareIDs) {
		s := r.sent[id]
		b = fmt.Appendf(b, "out %x %08x %d %016x %q %q\n", id.key, id.spi, s.allowed, s.ivStart, id.Peer, id.Child)
	}
	for _, id := range slices.SortedFunc(maps.Keys(r.top), compareIDs) {
		b = fmt.Appendf(b, "in %x %08x %d %q %q\n", id.key, id.spi, r.top[id], id.Peer, id.Child)
	}
	sum := sha256.Sum256(b)
	return fmt.Appendf(b, "sum %x\n", sum)
}

func compareIDs(a, b manualID) int {
	return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.spi, b.spi), strings.Compare(a.Peer, b.Peer), strings.Compare(a.Child, b.Child))
}

// Errors of parseManualRecords.
var (
	errManualDamaged = errors.New("it is damaged")
	errManualVersion = errors.New("another version of culvert wrote it")
)

// parseManualRecords returns the records of a file. Only what encode makes is a valid file: a
// record that was misread could have a number used twice.
func parseManualRecords(file []byte) (manualRecords, error) {
	r := newManualRecords()
	if rest, ok := bytes.CutPrefix(file, []byte(manualHead)); ok && !bytes.HasPrefix(rest, []byte(manualVersion+"\n")) {
		return r, errManualVersion
	}
	for line := range strings.Lines(string(file)) {
		r.parseLine(line)
	}
	if !bytes.Equal(r.encode(), file) {
		return newManualRecords(), errManualDamaged
	}
	return r, nil
}

// parseLine adds the record of a line, if it is one.
func (r manualRecords) parseLine(line string) {
	var id manualID
	var s sentRecord
	var digest string
	var top uint64
	if n, _ := fmt.Sscanf(line, "out %32s %08x %d %016x %q %q\n", &digest, &id.spi, &s.allowed, &s.ivStart, &id.Peer, &id.Child); n == 6 && id.setDigest(digest) {
		r.sent[id] = s
	} else if n, _ := fmt.Sscanf(line, "in %32s %08x %d %q %q\n", &digest, &id.spi, &top, &id.Peer, &id.Child); n == 5 && id.setDigest(digest) {
		r.top[id] = top
	}
}

func (id *manualID) setDigest(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && copy(id.key[:], b) == len(id.key)
}

// findSent returns the ID under which there is a record of an outbound SA: its own, or else one of
// the same key that no SA has, under another name or SPI, since an operator may rename a child.
func (r manualRecords) findSent(id manualID, used map[manualID]bool) (manualID, bool) {
	if _, ok := r.sent[id]; ok {
		return id, true
	}
	return furthest(r.sent, func(have manualID) bool { return have.key == id.key && !used[have] },
		func(s sentRecord) uint64 { return s.allowed })
}

// findTop is findSent for an inbound SA. Under another SPI no packet of before is authentic.
func (r manualRecords) findTop(id manualID) (manualID, bool) {
	return furthest(r.top, func(have manualID) bool { return have.key == id.key && have.spi == id.spi },
		func(top uint64) uint64 { return top })
}

// furthest returns the ID of the record with the largest number among those that match.
func furthest[V any](records map[manualID]V, match func(manualID) bool, number func(V) uint64) (found manualID, ok bool) {
	for id, v := range records {
		if match(id) && (!ok || cmp.Or(cmp.Compare(number(v), number(records[found])), compareIDs(found, id)) > 0) {
			found, ok = id, true
		}
	}
	return found, ok
}
