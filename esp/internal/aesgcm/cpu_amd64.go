package aesgcm

// cpuid executes the instruction. golang.org/x/sys/cpu reports VAES and VPCLMULQDQ only together
// with AVX-512.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv returns the low half of XCR0: the registers that the operating system saves. The processor
// must have OSXSAVE. macOS adds those of AVX-512 at their first use, so they are not used there.
func xgetbv() (eax uint32)

// The features that the kernels need: Intel's Software Developer's Manual, Volume 2, CPUID. All of
// them are needed for VAES, those without AVX2 and leaf 7 ECX for AES-NI, and more for AVX-512.
const (
	osXSAVE  = 1 << 27
	leaf1ECX = 1<<1 | 1<<9 | 1<<19 | 1<<25 | osXSAVE | 1<<28 // PCLMULQDQ, SSSE3, SSE4.1, AES-NI, OSXSAVE, AVX
	bmi2     = 1 << 8
	leaf7EBX = 1<<5 | bmi2  // AVX2, BMI2
	leaf7ECX = 1<<9 | 1<<10 // VAES, VPCLMULQDQ
	xcr0     = 1<<1 | 1<<2  // XMM and the high halves of YMM, which AVX needs on XMM as well

	// For ZMM registers, in addition.
	leaf7EBXZMM = 1<<16 | 1<<30      // AVX512F, AVX512BW
	xcr0ZMM     = 1<<5 | 1<<6 | 1<<7 // opmask, the high halves of ZMM 0 to 15, ZMM 16 to 31
)

// features holds the answers of the processor and the operating system.
type features struct {
	leaves             uint32 // number of leaves of cpuid
	leaf1ECX           uint32
	xcr0               uint32 // 0 if it cannot be read
	leaf7EBX, leaf7ECX uint32
}

func readFeatures() (f features) {
	if f.leaves, _, _, _ = cpuid(0, 0); f.leaves < 7 {
		return f
	}
	_, _, f.leaf1ECX, _ = cpuid(1, 0)
	if f.leaf1ECX&osXSAVE != 0 {
		f.xcr0 = xgetbv()
	}
	_, f.leaf7EBX, f.leaf7ECX, _ = cpuid(7, 0)
	return f
}

// best returns the fastest implementation whose features are all present.
func (f features) best() engine {
	switch {
	case f.leaves < 7 || f.leaf1ECX&leaf1ECX != leaf1ECX || f.xcr0&xcr0 != xcr0 || f.leaf7EBX&bmi2 == 0:
		return generic
	case f.leaf7EBX&leaf7EBX != leaf7EBX || f.leaf7ECX&leaf7ECX != leaf7ECX:
		return aesni
	case f.leaf7EBX&leaf7EBXZMM != leaf7EBXZMM || f.xcr0&xcr0ZMM != xcr0ZMM:
		return vaes
	}
	return avx512
}

// best returns the fastest implementation that this machine can run.
func best() engine { return readFeatures().best() }
