package suite

import (
	"bytes"
	"testing"
)

// TestKeySchedule compares each step of a schedule with the formulas.
func TestKeySchedule(t *testing.T) {
	ni, nr, shared, second := []byte("Ni"), []byte("Nr"), []byte("g^ir"), []byte("second secret")
	for _, text := range []string{"aes256gcm16-prfsha384-x25519", "aes128-sha256-prfsha256-x25519"} {
		s, err := NewIKESuite(mustIKE(t, text))
		if err != nil {
			t.Fatal(err)
		}
		prf := s.Prf()
		keysOf := func(seed []byte) *Keys { return s.Keys(seed, ni, nr, 1, 2) }

		k := s.Schedule(ni, nr, 1, 2)
		k.Init(shared)
		first := k.Keys()
		seed := prf.Sum([]byte("NiNr"), shared)
		wantKeys(t, "Init", first, keysOf(seed))

		k = s.Schedule(ni, nr, 1, 2)
		k.Resume(seed)
		wantKeys(t, "Resume", k.Keys(), keysOf(seed))
		if !bytes.Equal(seed, prf.Sum([]byte("NiNr"), shared)) {
			t.Error("Resume changes the SKEYSEED of its caller")
		}

		k = s.Schedule(ni, nr, 1, 2)
		k.Init(shared)
		first = k.Keys()
		want := keysOf(prf.Sum(keysOf(seed).D, []byte("second secretNiNr")))
		k.Mix(second)
		wantKeys(t, "Mix", k.Keys(), want)
		if !bytes.Equal(first.material, make([]byte, len(first.material))) {
			t.Error("the keys of the first step are not cleared")
		}

		k = s.Schedule(ni, nr, 1, 2)
		k.Rekey(prf, []byte("old SK_d"), shared)
		wantKeys(t, "Rekey", k.Keys(), keysOf(prf.Sum([]byte("old SK_d"), []byte("g^irNiNr"))))
	}
	if string(shared) != "g^ir" || string(second) != "second secret" {
		t.Error("the shared secrets were changed")
	}
}

func wantKeys(t *testing.T, step string, got, want *Keys) {
	t.Helper()
	if !bytes.Equal(got.material, want.material) || !bytes.Equal(got.D, want.D) {
		t.Errorf("%s: other keys", step)
	}
}
