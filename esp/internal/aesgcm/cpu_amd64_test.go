package aesgcm

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestEveryFeatureIsNeeded: AVX-512 is selected if every feature is present, VAES if only one of
// AVX-512's is missing, AES-NI if AVX2, VAES or VPCLMULQDQ is, and crypto/cipher if another one is.
func TestEveryFeatureIsNeeded(t *testing.T) {
	all := features{leaves: 7, leaf1ECX: leaf1ECX, xcr0: xcr0, leaf7EBX: leaf7EBX, leaf7ECX: leaf7ECX}
	wide := all
	wide.leaf7EBX |= leaf7EBXZMM
	wide.xcr0 |= xcr0ZMM
	older := features{leaves: 7, leaf1ECX: leaf1ECX, xcr0: xcr0, leaf7EBX: bmi2}
	for best, f := range map[engine]features{avx512: wide, vaes: all, aesni: older} {
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
		"XCR0": {func(f *features) *uint32 { return &f.xcr0 }, func(bit int) engine {
			if xcr0ZMM&(1<<bit) != 0 {
				return vaes
			}
			return generic
		}},
		"leaf 7 EBX": {func(f *features) *uint32 { return &f.leaf7EBX }, func(bit int) engine {
			switch {
			case 1<<bit == bmi2:
				return generic
			case leaf7EBXZMM&(1<<bit) != 0:
				return vaes
			}
			return aesni
		}},
		"leaf 7 ECX": {func(f *features) *uint32 { return &f.leaf7ECX }, func(int) engine { return aesni }},
	}
	for best, full := range map[engine]features{avx512: wide, vaes: all, aesni: older} {
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

// TestOtherProcessors runs the vectors and the comparison of packets with crypto/cipher again on
// processors that qemu emulates. An instruction that a processor does not have ends the program
// there. Of those that are older, AES-NI is selected where AVX and BMI2 are, with AVX2 or without.
func TestOtherProcessors(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	qemu, err := exec.LookPath("qemu-x86_64")
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip("no qemu-x86_64: make peers installs it")
	}
	if emulated(qemu, "max", generic) == nil {
		t.Skip("this qemu emulates no AVX, which is 7.2's")
	}
	for cpu, want := range map[string]engine{
		"Haswell": aesni, "Skylake-Client": aesni, "Cascadelake-Server": aesni, "EPYC": aesni, "EPYC-Rome": aesni, "EPYC,-avx2": aesni,
		"Haswell,-bmi2": generic, "Haswell,-avx": generic, "Haswell,-pclmulqdq": generic, "Haswell,-aes": generic, "Haswell,-ssse3": generic,
		"Haswell,-xsave": generic, "IvyBridge": generic, "Westmere": generic, "qemu64": generic,
	} {
		t.Run(cpu, func(t *testing.T) {
			t.Parallel()
			if err := emulated(qemu, cpu, want); err != nil {
				t.Error(err)
			}
		})
	}
}

// emulated runs tests on a processor of qemu's, as the child that TestChoice starts.
func emulated(qemu, cpu string, want engine) error {
	cmd := exec.Command(qemu, "-cpu", cpu, os.Args[0], "-test.short", "-test.run=^Test(Choice|NIST|Wycheproof|Powers|PacketOffsets|PacketLong)$")
	cmd.Env = append(os.Environ(), choiceWanted+"="+fmt.Sprint(int(want)), Environment+"=", "GODEBUG=fips140=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
