package certificate

import (
	"bytes"
	"testing"

	"culvert/ike/wire"
)

func TestAnnouncement(t *testing.T) {
	n := Announcement()
	if n.Kind != wire.SignatureHashAlgorithms || !bytes.Equal(n.Data, []byte{0, 2, 0, 3, 0, 4, 0, 5}) {
		t.Errorf("announced: %v %x", n.Kind, n.Data)
	}
}

func TestAnnounced(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want []Hash
	}{
		"ours":           {Announcement().Data, []Hash{SHA256, SHA384, SHA512, Identity}},
		"one":            {[]byte{0, 3}, []Hash{SHA384}},
		"SHA-1 alone":    {[]byte{0, 1}, nil},
		"unknown ones":   {[]byte{0, 0, 0, 6, 4, 2, 0xff, 0xff, 1, 2, 0, 4}, []Hash{SHA512}},
		"an octet more":  {[]byte{0, 2, 0}, nil /* as if there were none */},
		"nothing":        {nil, nil},
		"several equals": {[]byte{0, 2, 0, 2}, []Hash{SHA256}},
	} {
		want := Hashes(1)
		if len(tt.data)%2 != 0 {
			want = 0
		}
		for _, h := range tt.want {
			want |= 1 << h
		}
		got := Announced([]wire.Payload{&wire.Notify{Kind: wire.Cookie}, &wire.Notify{Kind: wire.SignatureHashAlgorithms, Data: tt.data}})
		if got != want {
			t.Errorf("%s: %b, want %b", name, got, want)
		}
	}
	if Announced(nil) != 0 || Hashes(0xff).Has(Hash(1026)) || !Hashes(1<<Identity).Has(Identity) {
		t.Error("a set of hashes has what it must not, or lacks what it has")
	}
}

func TestHashOf(t *testing.T) {
	if got := SHA256.of([]byte("abc")); len(got) != 32 || got[0] != 0xba || got[31] != 0xad { // FIPS 180-4
		t.Errorf("SHA-256 of abc is %x", got)
	}
	if got := Identity.of([]byte("abc")); string(got) != "abc" {
		t.Errorf("the identity of abc is %q", got)
	}
}
