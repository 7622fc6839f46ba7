package aesgcm

import "testing"

// TestEveryFeatureIsNeeded: VAES is selected if every feature is present, AES-NI if only AVX2, VAES
// or VPCLMULQDQ is missing, and crypto/cipher if another one is.
func TestEveryFeatureIsNeeded(t *testing.T) {
	all := features{leaves: 7, leaf1ECX: leaf1ECX, xcr0: xcr0, leaf7EBX: leaf7EBX, leaf7ECX: leaf7ECX}
	older := features{leaves: 7, leaf1ECX: leaf1ECX, xcr0: xcr0, leaf7EBX: bmi2}
	for best, f := range map[engine]features{vaes: all, aesni: older} {
		if got := f.best(); got != best {
			t.Errorf("%d though everything is there, want %d", got, best)
		}
		if f.leaves = 6; f.best() != generic {
			t.Error("assembly chosen without leaf 7")
		}
	}
	words := map[string]struct {
		of      func(*features) *uint32
		without func(bit int) engine // what is left without this bit
	}{
		"leaf 1 ECX": {func(f *features) *uint32 { return &f.leaf1ECX }, func(int) engine { return generic }},
		"XCR0":       {func(f *features) *uint32 { return &f.xcr0 }, func(int) engine { return generic }},
		"leaf 7 EBX": {func(f *features) *uint32 { return &f.leaf7EBX }, func(bit int) engine {
			if 1<<bit == bmi2 {
				return generic
			}
			return aesni
		}},
		"leaf 7 ECX": {func(f *features) *uint32 { return &f.leaf7ECX }, func(int) engine { return aesni }},
	}
	for best, full := range map[engine]features{vaes: all, aesni: older} {
		for name, w := range words {
			for bit := range 32 {
				f, want := full, best
				if *w.of(&f)&(1<<bit) != 0 {
					want = w.without(bit)
				}
				if *w.of(&f) &^= 1 << bit; f.best() != want {
					t.Errorf("%d, %s without bit %d: %d, want %d", best, name, bit, f.best(), want)
				}
			}
		}
	}
}
