package packettest

import (
	"encoding/binary"
	"testing"
)

// Reassemble returns the data of IPv4 fragments, which are in order, and whether the last one says
// that more follow.
func Reassemble(t testing.TB, frags [][]byte) (data []byte, more bool) {
	t.Helper()
	base := -1
	for _, f := range frags {
		hdr := CheckSums(t, f)
		field := binary.BigEndian.Uint16(f[6:])
		offset := int(field&0x1fff) * 8
		if base < 0 {
			base = offset
		}
		if offset != base+len(data) {
			t.Fatalf("fragment at %d, want %d", offset, base+len(data))
		}
		data = append(data, f[hdr.HeaderLen:]...)
		more = field&0x2000 != 0
	}
	return data, more
}
