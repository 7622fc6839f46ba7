package adversary

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// testConfig is one of two peers, that differ in their identity, networks and randomness.
func testConfig(name string, cipher wire.TransformID) Config {
	encr := wire.Transform{Type: wire.TransformENCR, ID: cipher, KeyLength: 128}
	c := Config{
		Rand: rand.NewChaCha8(sha256.Sum256([]byte(name))), Groups: suite.SystemGroups{},
		ID: wire.ID{IDType: wire.IDFQDN, Data: []byte(name)}, PSK: []byte("secret"),
		IKE: wire.Proposal{Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
			encr, {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256}, {Type: wire.TransformKE, ID: wire.GroupX25519},
		}},
		ESP: wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128}, {Type: wire.TransformESN, ID: wire.ESNNo},
		}},
		Local: network("10.1.0.0", "10.1.0.255"), Remote: network("10.2.0.0", "10.2.0.255"),
	}
	if cipher == wire.EncrAESCBC {
		c.IKE.Transforms = append(c.IKE.Transforms, wire.Transform{Type: wire.TransformINTEG, ID: wire.IntegHMACSHA2256})
	}
	if name == "right" {
		c.Local, c.Remote = c.Remote, c.Local
	}
	return c
}

func network(from, to string) []wire.TrafficSelector {
	return []wire.TrafficSelector{{EndPort: 0xffff, Start: netip.MustParseAddr(from), End: netip.MustParseAddr(to)}}
}

// talk delivers datagrams of one peer to the other, and the answers back, until nothing is sent.
func talk(t *testing.T, to, from *Peer, list [][]byte) {
	t.Helper()
	for n := 0; len(list) > 0; n++ {
		if n > 100 {
			t.Fatal("they talk without end")
		}
		var back [][]byte
		for _, data := range list {
			back = append(back, to.Receive(data)...)
		}
		list, to, from = back, from, to
	}
}

// Two honest peers make, rekey and delete everything, with the same keys, whoever asks.
func TestHonestPeers(t *testing.T) {
	for _, cipher := range []wire.TransformID{wire.EncrAESGCM16, wire.EncrAESCBC} {
		for _, part := range []int{0, 60} {
			left, right := &Peer{Config: testConfig("left", cipher)}, &Peer{Config: testConfig("right", cipher)}
			left.MaxPart, right.MaxPart = part, part
			talk(t, right, left, left.Connect())
			wantSame(t, left, right, 1)
			for _, pair := range [][2]*Peer{{left, right}, {right, left}} {
				a, b := pair[0], pair[1]
				talk(t, b, a, a.NewChild(a.Current()))
				wantSame(t, a, b, 2)
				talk(t, b, a, a.RekeyChild(a.Current(), a.Current().Live()[0]))
				wantSame(t, a, b, 2)
				before := a.Current()
				talk(t, b, a, a.RekeyIKE(before))
				wantSame(t, a, b, 2)
				if a.Current() == before || a.Current().Predecessor != before {
					t.Fatal("the IKE SA was not rekeyed")
				}
				talk(t, b, a, a.Probe(a.Current()))
				for len(a.Current().Children) > 1 {
					talk(t, b, a, a.DeleteChild(a.Current(), a.Current().Children[0]))
				}
				wantSame(t, a, b, 1)
			}
			talk(t, right, left, left.DeleteIKE(left.Current()))
			if l, r := left.SAs[len(left.SAs)-1], right.SAs[len(right.SAs)-1]; !l.Dead || !r.Dead {
				t.Error("the IKE SA stays")
			}
		}
	}
}

// wantSame checks that both have the same IKE SA, and the same live Child SAs with mirrored keys.
func wantSame(t *testing.T, a, b *Peer, children int) {
	t.Helper()
	x, y := a.Current(), b.Current()
	if x == nil || y == nil || x.SPIi != y.SPIi || x.SPIr != y.SPIr || !x.Proved || !y.Proved || !bytes.Equal(x.keys.D, y.keys.D) {
		t.Fatalf("the IKE SAs differ: %+v %+v", x, y)
	}
	xs, ys := x.Live(), y.Live()
	if len(xs) != children || len(ys) != children {
		t.Fatalf("%d and %d live Child SAs, want %d", len(xs), len(ys), children)
	}
	for _, c := range xs {
		o := y.child(c.SPIIn)
		if o == nil || !bytes.Equal(c.KeyIn, o.KeyOut) || !bytes.Equal(c.KeyOut, o.KeyIn) || bytes.Equal(c.KeyIn, c.KeyOut) || !reflect.DeepEqual(c.TSi, o.TSi) {
			t.Fatalf("the Child SAs differ: %+v %+v", c, o)
		}
	}
}

// A peer with another secret proves nothing, and is not taken for proved.
func TestOtherSecret(t *testing.T) {
	left, right := &Peer{Config: testConfig("left", wire.EncrAESGCM16)}, &Peer{Config: testConfig("right", wire.EncrAESGCM16)}
	left.PSK = []byte("another")
	talk(t, right, left, left.Connect())
	if left.Current().Proved || right.Current().Proved {
		t.Error("another secret proves")
	}
}

// What is repeated gets the same octets, and what is not authentic gets none.
func TestRepeatedRequest(t *testing.T) {
	left, right := &Peer{Config: testConfig("left", wire.EncrAESGCM16)}, &Peer{Config: testConfig("right", wire.EncrAESGCM16)}
	talk(t, right, left, left.Connect())
	ask := left.Probe(left.Current())[0]
	first, again := right.Receive(ask), right.Receive(ask)
	if len(first) != 1 || !reflect.DeepEqual(first, again) {
		t.Errorf("the answers are %x and %x", first, again)
	}
	for i := range ask {
		bad := bytes.Clone(ask)
		bad[i] ^= 0x40
		if got := right.Receive(bad); len(got) > 0 && i != 18 {
			t.Errorf("with octet %d changed, %x is answered", i, got)
		}
	}
}
