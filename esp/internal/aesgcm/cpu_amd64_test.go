package aesgcm

import "testing"

// TestEveryFeatureIsNeeded: the kernel is selected if every feature is present, and not if one is
// missing.
func TestEveryFeatureIsNeeded(t *testing.T) {
	all := features{leaves: 7, leaf1ECX: leaf1ECX, xcr0: xcr0, leaf7EBX: leaf7EBX, leaf7ECX: leaf7ECX}
	if !all.enough() {
		t.Error("refused, though everything is there")
	}
	few := all
	if few.leaves = 6; few.enough() {
		t.Error("chosen without leaf 7")
	}
	for bit := range 32 {
		for name, word := range map[string]func(*features) *uint32{
			"leaf 1 ECX": func(f *features) *uint32 { return &f.leaf1ECX }, "XCR0": func(f *features) *uint32 { return &f.xcr0 },
			"leaf 7 EBX": func(f *features) *uint32 { return &f.leaf7EBX }, "leaf 7 ECX": func(f *features) *uint32 { return &f.leaf7ECX },
		} {
			f := all
			had := *word(&f)&(1<<bit) != 0
			if *word(&f) &^= 1 << bit; f.enough() == had {
				t.Errorf("%s without bit %d: enough %v", name, bit, !had)
			}
		}
	}
}
