package suite

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"culvert/ike/wire"
)

var allGroups = []wire.TransformID{
	wire.GroupX25519, wire.GroupX448, wire.GroupECP256, wire.GroupECP384, wire.GroupECP521,
	wire.GroupMODP1024, wire.GroupMODP1536, wire.GroupMODP2048, wire.GroupMODP3072, wire.GroupMODP4096, wire.GroupMODP6144, wire.GroupMODP8192,
}

// TestECPVectors runs the exchanges of RFC 5903, Section 8, from the private values to the shared
// secret.
func TestECPVectors(t *testing.T) {
	curves := map[string]ecdh.Curve{"ecp256": ecdh.P256(), "ecp384": ecdh.P384(), "ecp521": ecdh.P521()}
	var vectors []struct{ Group, I, GI, R, GR, Shared string }
	readJSON(t, "testdata/rfc5903.json", &vectors)
	for _, v := range vectors {
		i, r := ecdhFrom(t, curves[v.Group], unhex(t, v.I), true), ecdhFrom(t, curves[v.Group], unhex(t, v.R), true)
		checkExchange(t, v.Group, i, r, unhex(t, v.GI), unhex(t, v.GR), unhex(t, v.Shared))
	}
}

// TestX25519Vector runs the exchange of RFC 7748, Section 6.1.
func TestX25519Vector(t *testing.T) {
	a := ecdhFrom(t, ecdh.X25519(), unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), false)
	b := ecdhFrom(t, ecdh.X25519(), unhex(t, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), false)
	checkExchange(t, "x25519", a, b,
		unhex(t, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
		unhex(t, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
		unhex(t, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"))
}

func readJSON(t testing.TB, name string, to any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func ecdhFrom(t *testing.T, curve ecdh.Curve, private []byte, point bool) *ecdhKE {
	t.Helper()
	key, err := curve.NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return newECDH(key, point)
}

func checkExchange(t *testing.T, name string, i, r KeyExchange, wantI, wantR, wantShared []byte) {
	t.Helper()
	if got := i.Public(); !bytes.Equal(got, wantI) {
		t.Errorf("%s: the initiator's public value is %x, want %x", name, got, wantI)
	}
	if got := r.Public(); !bytes.Equal(got, wantR) {
		t.Errorf("%s: the responder's public value is %x, want %x", name, got, wantR)
	}
	for _, pair := range [][2]KeyExchange{{i, r}, {r, i}} {
		got, err := pair[0].Shared(pair[1].Public())
		if err != nil || !bytes.Equal(got, wantShared) {
			t.Errorf("%s: the shared secret is %x, %v; want %x", name, got, err, wantShared)
		}
	}
}

func TestGroupsAgree(t *testing.T) {
	for _, group := range allGroups {
		a, b := make2(t, group)
		if err := (SystemGroups{}).Check(group, a.Public()); err != nil {
			t.Errorf("%v: an honest value is refused: %v", wire.GroupName(group), err)
		}
		if n := PublicSize(group); len(a.Public()) != n || len(b.Public()) != n || n == 0 {
			t.Errorf("%v: public values of %d and %d octets, PublicSize says %d", wire.GroupName(group), len(a.Public()), len(b.Public()), n)
		}
		if bytes.Equal(a.Public(), b.Public()) {
			t.Errorf("%v: two exchanges with the same public value", wire.GroupName(group))
		}
		sa, errA := a.Shared(b.Public())
		sb, errB := b.Shared(a.Public())
		if errA != nil || errB != nil || !bytes.Equal(sa, sb) || len(sa) == 0 {
			t.Errorf("%v: %v, %v, secrets equal: %v", wire.GroupName(group), errA, errB, bytes.Equal(sa, sb))
		}
		if _, err := a.Shared(b.Public()); err == nil {
			t.Errorf("%v: a key exchange served twice", wire.GroupName(group))
		}
	}
}

func make2(t *testing.T, group wire.TransformID) (a, b KeyExchange) {
	t.Helper()
	a, errA := SystemGroups{}.New(group)
	b, errB := SystemGroups{}.New(group)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return a, b
}

// TestUnknownGroups tries NONE, and every unassigned or private number.
func TestUnknownGroups(t *testing.T) {
	for id := range 0x10000 {
		group := wire.TransformID(id)
		if slices.Contains(allGroups, group) {
			continue
		}
		if GroupKnown(group) || PublicSize(group) != 0 || (SystemGroups{}).Check(group, make([]byte, 32)) == nil {
			t.Fatalf("group %d is known", group)
		}
		if id < 2000 {
			if _, err := NewKE(group); err == nil {
				t.Fatalf("a key exchange with group %d", group)
			}
		}
	}
}

// TestHostilePublicValues sends values that have crashed or weakened other implementations: zero,
// one, p-1, p, all ones, values of the wrong length, points off the curve and, for Curve25519 and
// Curve448, points of small order. Anybody on the path can send such values, so the peer's true
// value must still be accepted after all of them. No value costs a computation where Check can
// tell.
func TestHostilePublicValues(t *testing.T) {
	for _, group := range allGroups {
		good, k := make2(t, group)
		for name, value := range hostileValues(t, group, good.Public()) {
			if shared, err := k.Shared(value); err == nil || shared != nil {
				t.Errorf("%s accepts %s", wire.GroupName(group), name)
			}
			// Points of small order, beside zero, are found by the result only.
			late := (group == wire.GroupX25519 || group == wire.GroupX448) && len(value) == len(good.Public()) && name != "zero"
			if err := (SystemGroups{}).Check(group, value); (err == nil) != late {
				t.Errorf("%s: the check before the computation of %s gives %v", wire.GroupName(group), name, err)
			}
		}
		if _, err := k.Shared(good.Public()); err != nil {
			t.Errorf("%s: after all of them the peer's true value is refused: %v", wire.GroupName(group), err)
		}
	}
}

func hostileValues(t *testing.T, group wire.TransformID, good []byte) map[string][]byte {
	n := len(good)
	values := map[string][]byte{
		"nothing": nil, "one octet": {1}, "a value too short": good[1:], "a value cut": good[:n-1], "a value too long": append([]byte{0}, good...),
		"a value with an octet more": append(slices.Clone(good), 0), "65 kB": make([]byte, 0xffff), "zero": make([]byte, n),
	}
	switch group {
	case wire.GroupX25519:
		values["one, of small order"] = append([]byte{1}, make([]byte, 31)...)
		values["a point of order 8"] = unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
		values["p"] = unhex(t, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
	case wire.GroupX448:
		values["one, of small order"] = append([]byte{1}, make([]byte, n-1)...)
		values["p"] = slices.Concat(bytes.Repeat([]byte{0xff}, 28), []byte{0xfe}, bytes.Repeat([]byte{0xff}, 27))
		values["p-1"] = slices.Clone(values["p"])
		values["p-1"][0]--
		values["p+1"] = slices.Concat(make([]byte, 28), bytes.Repeat([]byte{0xff}, 28))
	case wire.GroupMODP1024, wire.GroupMODP1536, wire.GroupMODP2048, wire.GroupMODP3072, wire.GroupMODP4096, wire.GroupMODP6144, wire.GroupMODP8192:
		prime := unhex(t, modpGroups[group].prime)
		values["one"], values["p"], values["p-1"] = make([]byte, n), prime, slices.Clone(prime)
		values["one"][n-1] = 1
		values["p-1"][n-1]--
		values["all ones"] = bytes.Repeat([]byte{0xff}, n)
	default:
		off := slices.Clone(good)
		off[n-1] ^= 1
		values["a point off the curve"], values["all ones"] = off, bytes.Repeat([]byte{0xff}, n)
		values["a compressed point"] = append([]byte{2}, good[:n/2]...)
		values["SEC 1 encoding"] = append([]byte{4}, good...)
	}
	return values
}

// TestDearGroups has strangers show their address before the groups that take milliseconds.
func TestDearGroups(t *testing.T) {
	dear := []wire.TransformID{wire.GroupMODP3072, wire.GroupMODP4096, wire.GroupMODP6144, wire.GroupMODP8192}
	for _, group := range allGroups {
		if got, want := (SystemGroups{}).Dear(group), slices.Contains(dear, group); got != want {
			t.Errorf("%s: dear is %v, want %v", wire.GroupName(group), got, want)
		}
	}
}
