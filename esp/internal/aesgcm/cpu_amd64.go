package aesgcm

// cpuid is the instruction. golang.org/x/sys/cpu tells of VAES and VPCLMULQDQ only together with AVX-512.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv is the low half of XCR0: which registers the operating system saves. The processor must have OSXSAVE.
func xgetbv() (eax uint32)

// What the kernel needs: Intel's Software Developer's Manual, Volume 2, CPUID.
const (
	osXSAVE  = 1 << 27
	leaf1ECX = 1<<1 | 1<<9 | 1<<19 | 1<<25 | osXSAVE | 1<<28 // PCLMULQDQ, SSSE3, SSE4.1, AES-NI, OSXSAVE, AVX
	leaf7EBX = 1<<5 | 1<<8                                   // AVX2, BMI2
	leaf7ECX = 1<<9 | 1<<10                                  // VAES, VPCLMULQDQ
	xcr0     = 1<<1 | 1<<2                                   // XMM and the high halves of YMM
)

// features is what processor and operating system say.
type features struct {
	leaves             uint32 // how many leaves cpuid has
	leaf1ECX           uint32
	xcr0               uint32 // 0 where it cannot be asked
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

// enough says whether it is all that the kernel needs.
func (f features) enough() bool {
	return f.leaves >= 7 && f.leaf1ECX&leaf1ECX == leaf1ECX && f.xcr0&xcr0 == xcr0 && f.leaf7EBX&leaf7EBX == leaf7EBX && f.leaf7ECX&leaf7ECX == leaf7ECX
}

// supported says whether this machine can run the kernel.
func supported() bool { return readFeatures().enough() }
