package daemon

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"culvert/internal/ipsec"
)

func testID(key string, spi uint32, child string) manualID {
	return manualID{digestOf([]byte(key)), spi, ipsec.PolicyName{Peer: "a \"peer\"\n", Child: child}}
}

func testRecords() manualRecords {
	r := newManualRecords()
	r.sent[testID("k1", 0x1001, "lan")] = sentRecord{131072, 0x0123456789abcdef}
	r.sent[testID("k1", 0x1002, "")] = sentRecord{1<<64 - 1, 0}
	r.top[testID("k2", 0x2001, "lan")] = 77
	return r
}

// What is written is read, and equal records give equal files, in which no key can be seen.
func TestManualRecords(t *testing.T) {
	r := testRecords()
	file := r.encode()
	got, err := parseManualRecords(file)
	if err != nil || !maps.Equal(got.sent, r.sent) || !maps.Equal(got.top, r.top) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if again := r.clone().encode(); !bytes.Equal(again, file) {
		t.Errorf("got %s, want %s", again, file)
	}
	if !bytes.HasPrefix(file, []byte("culvert manual-sequences 1\n")) || bytes.Contains(file, []byte("k1")) {
		t.Errorf("the file is %s", file)
	}
	if empty, err := parseManualRecords(newManualRecords().encode()); err != nil || len(empty.sent)+len(empty.top) != 0 {
		t.Errorf("got %+v, %v", empty, err)
	}
}

// A file with any octet changed, missing or added is refused as a whole.
func TestManualRecordsDamaged(t *testing.T) {
	file := testRecords().encode()
	refused := func(what string, b []byte, want error) {
		t.Helper()
		if r, err := parseManualRecords(b); err != want || len(r.sent)+len(r.top) != 0 {
			t.Errorf("%s: %d records, %v; want %v", what, len(r.sent)+len(r.top), err, want)
		}
	}
	for i := range file {
		for bit := range 8 {
			b := bytes.Clone(file)
			b[i] ^= 1 << bit
			if r, err := parseManualRecords(b); err == nil {
				t.Fatalf("bit %d of octet %d: %+v", bit, i, r)
			}
		}
		if r, err := parseManualRecords(file[:i]); err == nil {
			t.Fatalf("%d octets: %+v", i, r)
		}
	}
	refused("empty", nil, errManualDamaged)
	refused("longer", append(bytes.Clone(file), '\n'), errManualDamaged)
	refused("twice", append(bytes.Clone(file), file...), errManualDamaged)
	refused("of a later version", []byte(strings.Replace(string(file), "sequences 1\n", "sequences 2\n", 1)), errManualVersion)
}

// The record of an SA is its own, or that of its key, unless another SA has that: a child may be
// renamed, or get another SPI. What was accepted matters under the same SPI alone.
func TestManualRecordsAreFound(t *testing.T) {
	r := newManualRecords()
	mine, other, old := testID("k", 1, "lan"), testID("k", 2, "other"), testID("k", 3, "old")
	r.sent[mine], r.sent[other], r.sent[old] = sentRecord{allowed: 10}, sentRecord{allowed: 30}, sentRecord{allowed: 20}
	for _, tt := range []struct {
		name string
		id   manualID
		used map[manualID]bool
		want manualID
		ok   bool
	}{
		{"its own", mine, nil, mine, true},
		{"its own, whatever is used", mine, map[manualID]bool{mine: true}, mine, true},
		{"renamed: the furthest", testID("k", 1, "new"), nil, other, true},
		{"renamed, beside another", testID("k", 1, "new"), map[manualID]bool{other: true, mine: true}, old, true},
		{"all are used", testID("k", 1, "new"), map[manualID]bool{other: true, mine: true, old: true}, manualID{}, false},
		{"another key", testID("l", 1, "lan"), nil, manualID{}, false},
	} {
		if got, ok := r.findSent(tt.id, tt.used); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %+v, %v", tt.name, got, ok)
		}
	}
	r.top[testID("k", 7, "lan")] = 5
	if got, ok := r.findTop(testID("k", 7, "new")); !ok || got.Child != "lan" {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, id := range []manualID{testID("k", 8, "lan"), testID("l", 7, "lan")} {
		if got, ok := r.findTop(id); ok {
			t.Errorf("got %+v for %+v", got, id)
		}
	}
}

func FuzzManualRecords(f *testing.F) {
	f.Add(testRecords().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseManualRecords(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("%q is read, and written otherwise", b)
		}
	})
}
