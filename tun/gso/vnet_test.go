package gso

import (
	"bytes"
	"testing"
)

func FuzzParseVnet(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte{1, 1, 0, 0, 0xe8, 3, 20, 0, 16, 0}, s.Build())
	}
	f.Fuzz(func(t *testing.T, hdr, data []byte) {
		if len(hdr) < VnetLen {
			return
		}
		p := Packet{Data: bytes.Clone(data)}
		if ParseVnet(hdr, &p) != nil {
			return
		}
		if p.GSO != None && (p.SegSize == 0 || int(p.HdrLen)+int(p.SegSize) >= len(p.Data)) {
			t.Fatalf("an impossible super-packet: %+v", p)
		}
		var seg Segmenter
		if err := seg.Reset(&p); err != nil && p.GSO != None && p.HdrLen <= maxHeader && int(p.HdrLen)+int(p.SegSize) <= MaxPacket {
			t.Fatalf("read as a super-packet but cannot be cut: %v", err)
		}
		for seg.Next() != nil {
		}
	})
}
