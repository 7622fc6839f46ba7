package aesgcm

// cpuid executes the instruction. golang.org/x/sys/cpu reports VAES and VPCLMULQDQ only together
// with AVX-512.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv returns the low half of XCR0: the registers that the operating system saves. The processor
// must have OSXSAVE.
func xgetbv() (eax uint32)

// The features that the kernel needs: Intel's Software Developer's Manual, Volume 2, CPUID.
const (
	osXSAVE  = 1 << 27
	leaf1ECX = 1<<1 | 1<<9 | 1<<19 | 1<<25 | osXSAVE | 1<<28 // PCLMULQDQ, SSSE3, SSE4.1, AES-NI, OSXSAVE, AVX
	leaf7EBX = 1<<5 | 1<<8                                   // AVX2, BMI2
	leaf7ECX = 1<<9 | 1<<10                                  // VAES, VPCLMULQDQ
	xcr0     = 1<<1 | 1<<2                                   // XMM and the high halves of YMM
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

// enough reports whether all features that the kernel needs are present.
func (f features) enough() bool {
	return f.leaves >= 7 && f.leaf1ECX&leaf1ECX == leaf1ECX && f.xcr0&xcr0 == xcr0 && f.leaf7EBX&leaf7EBX == leaf7EBX && f.leaf7ECX&leaf7ECX == leaf7ECX
}

// supported reports whether this machine can run the kernel.
func supported() bool { return readFeatures().enough() }
