package ike

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// wantPacked packs a request and unpacks it again, and returns its length when it is packed.
func wantPacked(t *testing.T, what string, request []byte) int {
	t.Helper()
	hashes := knownHashes()
	packed := packRequest(request, hashes)
	if got := unpackRequest(packed, hashes); !bytes.Equal(got, request) {
		t.Fatalf("%s: %d octets, packed %x, became %x", what, len(request), packed, got)
	}
	if most := len(request) + len(request)/maxRun + 1; len(packed) > most {
		t.Errorf("%s: %d octets became %d, want at most %d", what, len(request), len(packed), most)
	}
	return len(packed)
}

// knownHashes are what NAT detection expects, without a NAT.
func knownHashes() []byte {
	b := make([]byte, 40)
	_, _ = seededRand(3, "hashes").Read(b)
	return b
}

// withHashes returns a request with the hashes that NAT detection expects in place of its own, or
// with the second one only.
func withHashes(request []byte, from int) []byte {
	for i, hash := range [][]byte{knownHashes()[:20], knownHashes()[20:]} {
		if i >= from {
			at := bytes.Index(request, binary.BigEndian.AppendUint16(nil, uint16(wire.NATDetectionSourceIP)+uint16(i)))
			copy(request[at+2:], hash)
		}
	}
	return request
}

// initOctets returns a request with random keys and hashes, and the given proposals and group.
func initOctets(offers []wire.Proposal, group wire.TransformID, more ...wire.Payload) []byte {
	random := seededRand(1, "request")
	octets := func(n int) []byte { b := make([]byte, n); _, _ = random.Read(b); return b }
	m := wire.Message{Header: wire.Header{InitiatorSPI: 77, Exchange: wire.IKESAInit, Initiator: true}, Payloads: []wire.Payload{
		&wire.SA{Proposals: offers}, &wire.KE{Group: group, Data: octets(suite.PublicSize(group))}, &wire.Nonce{Data: octets(32)},
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: octets(20)}, &wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: octets(20)},
		&wire.Notify{Kind: wire.FragmentationSupported}, &wire.VendorID{Data: ableUDP.octets()}}}
	m.Payloads = append(m.Payloads, more...)
	return m.AppendTo(nil)
}

// TestPackRequest packs requests of ours and of others, and such as nobody sends.
func TestPackRequest(t *testing.T) {
	ours := suite.DefaultIKEProposals()
	others, err := suite.ParseIKEProposal("aes256-aes128-sha512-sha256-prfsha512-modp2048-ecp384")
	if err != nil {
		t.Fatal(err)
	}
	others.Number = 1
	noise := make([]byte, maxInit)
	_, _ = seededRand(2, "noise").Read(noise)
	for _, tt := range []struct {
		name    string
		request []byte
		most    int
	}{
		{"ours", initOctets(ours, wire.GroupX25519), 144},
		{"ours behind a NAT", withHashes(initOctets(ours, wire.GroupX25519), 1), 127},
		{"ours without a NAT", withHashes(initOctets(ours, wire.GroupX25519), 0), 110},
		{"ours with the group that was asked for", initOctets(ours, wire.GroupMODP4096), 640},
		{"ours with a cookie", initOctets(ours, wire.GroupX25519, &wire.Notify{Kind: wire.Cookie, Data: noise[:32]}), 192},
		{"another offer", initOctets([]wire.Proposal{others}, wire.GroupMODP2048), 416},
		{"a header", make([]byte, 28), 20},
		{"zeros", make([]byte, maxInit), 208},
		{"noise", noise, maxInit + 64},
		{"one word", bytes.Repeat([]byte("12345"), maxInit/5), 224},
	} {
		got := wantPacked(t, tt.name, tt.request)
		t.Logf("%s: %d octets become %d", tt.name, len(tt.request), got)
		if got > tt.most {
			t.Errorf("%s: %d octets become %d, want at most %d", tt.name, len(tt.request), got, tt.most)
		}
	}
}

// TestPackPieces packs requests that are put together of pieces of ours, of noise, and of what came
// before, and cut anywhere.
func TestPackPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	ours := initOctets(suite.DefaultIKEProposals(), wire.GroupX25519)
	for range 5000 {
		request := make([]byte, spiLen)
		for len(request) < 28 || r.IntN(6) > 0 {
			from := ours
			switch r.IntN(3) {
			case 0:
				from = request
			case 1:
				from = make([]byte, 300)
				for i := range from {
					from[i] = byte(r.Uint32() & 0x83)
				}
			}
			at := r.IntN(len(from))
			request = append(request, from[at:at+r.IntN(len(from)-at+1)]...)
		}
		wantPacked(t, "pieces", request[:min(len(request), maxInit)])
	}
}

// BenchmarkPackRequest packs and unpacks our own request.
func BenchmarkPackRequest(b *testing.B) {
	request := initOctets(suite.DefaultIKEProposals(), wire.GroupX25519)
	hashes := knownHashes()
	packed := packRequest(request, hashes)
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			packRequest(request, hashes)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			unpackRequest(packed, hashes)
		}
	})
}
